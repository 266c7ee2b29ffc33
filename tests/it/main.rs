//! Everything that crosses a room, in one binary.
