-- Every running server, and how far it has followed the log. Each writes its own row and takes it away when it ends;
-- what is left of one that ended otherwise goes when another writes. Written often and by everybody: no log, no bell.
CREATE TABLE instances (
  id         text   COLLATE "C" NOT NULL PRIMARY KEY,       -- UUID v7, made at each start
  name       text   COLLATE "C" NOT NULL,                   -- what people call it; not unique
  started_at bigint NOT NULL,
  seen_at_ms bigint NOT NULL,                               -- when it last wrote this row, in milliseconds
  applied    bigint NOT NULL,                               -- every entry of key_changes up to this is in force there
  heard_ms   bigint NOT NULL,                               -- silent for longer, it has ended or is cut off from here;
  serves_ms  bigint NOT NULL                                -- silent for longer, it serves no key in any case
) WITH (fillfactor = 50);

-- Until when every instance is asked to write its row whenever it has applied a change: while somebody waits for it.
CREATE TABLE positions_wanted (
  one        integer PRIMARY KEY CHECK (one = 1),           -- there is one, or none
  until_ms   bigint  NOT NULL                               -- in milliseconds since 1970
);
