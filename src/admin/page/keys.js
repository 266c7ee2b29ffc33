// The table of keys, and what can be done to them.

const CATEGORIES = {
  WORKSPACE_INVOKE: ["invoke", "Calls models. May be limited to some of them."],
  WORKSPACE_EXPORT_METRICS: ["export metrics", "Reads exported metrics and calls nothing. May be limited to some models."],
  WORKSPACE_MANAGE_ALL: ["manage all", "Calls every model, and manages every key that is not personal."],
  PERSONAL: ["personal", "Calls every model and manages every key, in its owner's name."],
};
const MAY_HAVE_MODELS = ["WORKSPACE_INVOKE", "WORKSPACE_EXPORT_METRICS"];
const LIVES = [["", "until it is deleted"], ["3600", "for an hour"], ["86400", "for a day"], ["604800", "for a week"],
  ["2592000", "for 30 days"], ["7776000", "for 90 days"], ["31536000", "for a year"]];
const GRACES = [["0", "not at all"], ["3600", "for an hour"], ["86400", "for a day"], ["604800", "for a week"]];
const COLUMNS = [
  ["name", "Name", (key) => (key.name ?? "").toLowerCase()],
  ["prefix", "Prefix", (key) => key.prefix],
  ["category", "Category", (key) => categoryOf(key)],
  ["models", "Models", (key) => (key.model_ids ?? []).join(" ")],
  ["team", "Team", (key) => (key.team_name ?? "").toLowerCase()],
  ["used", "Last used", (key) => Date.parse(key.last_used_at ?? 0)],
  ["state", "State", (key) => stateOf(key)[1]],
];
const PAGE = 200;

const keys = { loaded: [], next: null, search: "", category: "", order: null, down: false, shown: PAGE, turn: 0 };
/// The key that a dialog is about.
let chosen = null;
/// Where the focus goes when a new text was shown: a data-focus, or nothing for the button that makes keys.
let goBackTo = null;

const categoryOf = (key) => CATEGORIES[key.type]?.[0] ?? key.type;
const nameOf = (key) => key.name ?? key.prefix;

function stateOf(key) {
  if (key.disabled_at) return ["bad", "disabled"];
  if (!key.expires_at) return ["good", "active"];
  const left = Date.parse(key.expires_at) - now();
  return left <= 0 ? ["bad", "expired"] : ["warn", `ends in ${span(left)}`];
}

/// Reads the list from its beginning, or goes on; `most` keys at once, and all of them if `toTheEnd`.
async function loadKeys({ goOn = false, most = PAGE, toTheEnd = false } = {}) {
  const turn = ++keys.turn;
  let cursor = goOn ? keys.next : null;
  let loaded = goOn ? keys.loaded : [];
  do {
    const query = new URLSearchParams({ life: "true", limit: String(most) });
    if (keys.category) query.set("type", keys.category);
    if (cursor) query.set("cursor", cursor);
    const page = await ask("GET", `/v1/api_keys?${query}`);
    // Something else was asked for meanwhile, or the page was locked.
    if (turn !== keys.turn || token === null) return;
    const known = new Set(loaded.map((key) => key.prefix));
    loaded = loaded.concat(page.keys.filter((key) => !known.has(key.prefix)));
    cursor = page.next_cursor;
    keys.loaded = loaded;
    keys.next = cursor;
    renderKeys();
  } while (toTheEnd && cursor);
}

/// The same, for a button: what goes wrong is told.
async function load(how) {
  try {
    await loadKeys(how);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notify(`The keys could not be read. ${error.message}`, true);
  }
}

function matches(key) {
  const words = keys.search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [key.name, key.prefix, key.team_name, key.type, categoryOf(key), ...(key.model_ids ?? [])].join("\n").toLowerCase();
  return words.every((word) => text.includes(word));
}

function inOrder(found) {
  const column = COLUMNS.find(([id]) => id === keys.order);
  if (!column) return found;
  const by = column[2];
  const sign = keys.down ? -1 : 1;
  return found.toSorted((one, other) => {
    const [a, b] = [by(one), by(other)];
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
  });
}

function renderKeys() {
  const found = inOrder(keys.loaded.filter(matches));
  const shown = found.slice(0, keys.shown);
  fill($("keys-rows"), ...shown.map(keyRow));
  $("keys-table").hidden = shown.length === 0;
  const more = keys.next !== null;
  const isNarrowed = keys.search !== "";
  const of = isNarrowed ? `${whole.format(found.length)} of ${plural(keys.loaded.length, "key")}` : plural(keys.loaded.length, "key");
  let says = more ? `${of} loaded; there are more, and search and sort look at these alone.` : `${of}.`;
  if (shown.length < found.length) says += ` The first ${whole.format(shown.length)} are shown.`;
  if (keys.loaded.length === 0) says = keys.category ? "No keys of this category." : "No keys yet.";
  else if (found.length === 0) says += " Nothing fits.";
  $("keys-count").textContent = says;
  $("keys-more").hidden = !more && shown.length === found.length;
  $("more").textContent = shown.length < found.length ? "Show more" : "Load more";
  $("all").hidden = !more;
  for (const head of $("keys-head").querySelectorAll("th[data-column]")) {
    const isIt = head.dataset.column === keys.order;
    head.setAttribute("aria-sort", isIt ? (keys.down ? "descending" : "ascending") : "none");
  }
  $("order").value = keys.order === null ? "" : `${keys.order}${keys.down ? "-" : ""}`;
}

function keyRow(key) {
  const name = nameOf(key);
  const [kind, state] = stateOf(key);
  const act = (id, text, does) => el("button", {
    type: "button", class: id, "data-focus": `${id} ${key.prefix}`, "aria-label": `${text} ${name}`, click: () => does(key),
  }, text);
  return row({ "data-prefix": key.prefix },
    cell("Name", {}, key.name === null ? none("unnamed") : key.name),
    cell("Prefix", { class: "mono" }, key.prefix),
    cell("Category", {}, categoryOf(key)),
    cell("Models", {}, modelsOf(key.model_ids, `models ${key.prefix}`)),
    cell("Team", {}, key.team_name ?? none("none")),
    cell("Last used", {}, key.last_used_at ? moment(key.last_used_at) : none("never")),
    cell("State", {}, pill(kind, state)),
    cell("", { class: "acts" },
      act("rotate", "Rotate", openRotate),
      key.disabled_at ? act("enable", "Enable", (key) => switchKey(key, true)) : act("disable", "Disable", (key) => switchKey(key, false)),
      act("delete", "Delete", openDelete)));
}

function modelsOf(models, focus) {
  if (models === null) return none("every model");
  const list = (some) => el("ul", { class: "chips" }, ...some.map((model) => el("li", {}, model)));
  if (models.length <= 4) return list(models);
  const rest = models.slice(3);
  return el("div", {}, list(models.slice(0, 3)),
    el("details", {}, el("summary", { "data-focus": focus }, `and ${rest.length} more`), list(rest)));
}

function sortBy(column) {
  // In one order, in the other, and back to the newest first.
  if (keys.order !== column) [keys.order, keys.down] = [column, false];
  else if (!keys.down) keys.down = true;
  else [keys.order, keys.down] = [null, false];
  renderKeys();
}

/// Takes the place of a key that was loaded.
function replaceKey(prefix, key) {
  keys.loaded = keys.loaded.flatMap((one) => (one.prefix === prefix ? (key === null ? [] : [key]) : [one]));
  renderKeys();
}

const pathOf = (key) => `/v1/api_keys/${encodeURIComponent(key.prefix)}`;

async function switchKey(key, enabled) {
  const word = enabled ? "enabled" : "disabled";
  try {
    const changed = await ask("PATCH", `${pathOf(key)}?wait=all`, { enabled });
    const focus = document.activeElement?.dataset.focus;
    replaceKey(key.prefix, changed);
    notify(`${nameOf(key)} is ${word}. ${inForce(changed.in_force)}`);
    if (focus === `${enabled ? "enable" : "disable"} ${key.prefix}`) {
      $("keys-rows").querySelector(`[data-focus="${enabled ? "disable" : "enable"} ${key.prefix}"]`)?.focus();
    }
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notify(`${nameOf(key)} was not ${word}. ${error.message}`, true);
  }
}

async function openCreate() {
  $("create-form").reset();
  $("create-problem").textContent = "";
  sayCategory();
  $("create").showModal();
  try {
    const { teams } = await ask("GET", "/v1/teams");
    options($("create-team"), teams.map((team) => [team.id, team.name]));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    options($("create-team"), [["", "the default team"]]);
  }
}

function sayCategory() {
  const category = $("create-category").value;
  $("create-category-says").textContent = CATEGORIES[category][1];
  $("create-models-field").hidden = !MAY_HAVE_MODELS.includes(category);
}

async function create() {
  const type = $("create-category").value;
  const models = $("create-models").value.split("\n").map((line) => line.trim()).filter(Boolean);
  const wanted = { type };
  if ($("create-name").value) wanted.name = $("create-name").value;
  if (MAY_HAVE_MODELS.includes(type) && models.length) wanted.model_ids = models;
  if ($("create-team").value) wanted.team_id = $("create-team").value;
  if ($("create-life").value) wanted.expires_in = Number($("create-life").value);
  const made = await ask("POST", "/v1/api_keys?wait=all", wanted);
  $("create").close();
  goBackTo = null;
  showSecret(made.api_key, type, wanted.model_ids ?? null, inForce(made.in_force));
  keys.category = $("category").value = "";
  await load();
}

function openRotate(key) {
  chosen = key;
  $("rotate-form").reset();
  $("rotate-problem").textContent = "";
  $("rotate-name").textContent = nameOf(key);
  $("rotate").showModal();
}

async function rotate() {
  const key = chosen;
  const made = await ask("POST", `${pathOf(key)}/rotate?wait=all&grace=${$("rotate-grace").value}`);
  $("rotate").close();
  replaceKey(key.prefix, { ...key, prefix: made.prefix });
  goBackTo = `rotate ${made.prefix}`;
  const until = made.old_until ? ` The text before works until ${new Date(made.old_until).toLocaleString()}.` : " The text before is refused.";
  showSecret(made.api_key, key.type, key.model_ids, inForce(made.in_force) + until);
}

function openDelete(key) {
  chosen = key;
  $("delete-problem").textContent = "";
  $("delete-name").textContent = key.name === null ? key.prefix : `${key.name} (${key.prefix})`;
  $("delete").showModal();
}

async function remove() {
  const key = chosen;
  const gone = await ask("DELETE", `${pathOf(key)}?wait=all`);
  $("delete").close();
  replaceKey(key.prefix, null);
  notify(`${nameOf(key)} is deleted. ${inForce(gone.in_force)}`);
  $("keys-title").scrollIntoView({ block: "nearest" });
  $("new-key").focus({ preventScroll: true });
}

function showSecret(text, type, models, force) {
  $("secret-text").value = text;
  $("secret-force").textContent = force;
  const [call, note] = callWith(text, type, models);
  $("curl").textContent = call;
  $("curl-note").textContent = note;
  $("copy-says").textContent = "";
  $("secret").showModal();
  $("secret-text").select();
}

/// What a shell takes as one word.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/// How the key is used from a shell, and what there is to be said of it.
function callWith(text, type, models) {
  const here = location.hostname.includes(":") ? `[${location.hostname}]` : location.hostname;
  const base = (status.last?.this.calls_at || `http://${here}:8080`).replace(/\/\/(0\.0\.0\.0|\[::\])/, `//${here}`);
  const key = `-H ${quoted(`Authorization: Bearer ${text}`)}`;
  if (type === "WORKSPACE_EXPORT_METRICS") {
    return [`curl -sS ${quoted(`${base}/metrics`)} ${key}`, "The path is that of a route for metrics in your settings."];
  }
  const example = status.last?.this.example;
  const exact = models?.find((model) => !model.endsWith("*"));
  const model = exact ?? (models ? `${models[0].slice(0, -1)}MODEL` : "MODEL");
  if (!example) {
    return [`curl -sS ${quoted(`${base}/PATH`)} ${key}`, "Put the path of one of your routes in place of PATH."];
  }
  const path = example.path.replace("{model}", encodeURIComponent(model));
  const body = example.body.replace('"{model}"', () => JSON.stringify(model));
  const call = `curl -sS ${quoted(base + path)} \\\n  ${key} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(body)}`;
  const isNamed = example.path.includes("{model}") || example.body.includes("{model}");
  return [call, isNamed && exact === undefined ? "Put the name of a model in place of MODEL." : ""];
}

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    $("copy-says").textContent = `${what} is in the clipboard.`;
  } catch {
    $("secret-text").select();
    $("copy-says").textContent = "The browser does not let this page copy here: copy by hand.";
  }
}

function forgetSecret() {
  $("secret-text").value = "";
  $("curl").textContent = "";
}

function leaveSecret() {
  forgetSecret();
  const row = goBackTo && [...$("keys-rows").querySelectorAll("[data-focus]")].find((button) => button.dataset.focus === goBackTo);
  (row || $("new-key")).focus();
}

function setUpKeys() {
  $("keys-head").append(
    ...COLUMNS.map(([id, title]) => el("th", { role: "columnheader", scope: "col", "data-column": id, "aria-sort": "none" },
      el("button", { type: "button", click: () => sortBy(id) }, title))),
    el("th", { role: "columnheader", scope: "col", class: "number" }, "Actions"));
  const orders = COLUMNS.flatMap(([id, title]) => [[id, title], [`${id}-`, `${title}, descending`]]);
  options($("order"), [["", "Newest first"], ...orders]);
  $("category").append(...Object.entries(CATEGORIES).map(([value, [text]]) => el("option", { value }, text)));
  options($("create-category"), Object.entries(CATEGORIES).map(([value, [text]]) => [value, text]));
  options($("create-life"), LIVES);
  options($("rotate-grace"), GRACES);
  $("search").addEventListener("input", () => { [keys.search, keys.shown] = [$("search").value, PAGE]; renderKeys(); });
  $("find").addEventListener("submit", (event) => event.preventDefault());
  $("category").addEventListener("change", () => { keys.category = $("category").value; load(); });
  $("order").addEventListener("change", () => {
    const order = $("order").value;
    [keys.order, keys.down] = [order.replace(/-$/, "") || null, order.endsWith("-")];
    renderKeys();
  });
  $("refresh").addEventListener("click", () => { load(); loadUpstreamKeys(); });
  $("more").addEventListener("click", () => {
    const isAllShown = keys.loaded.filter(matches).length <= keys.shown;
    keys.shown += PAGE;
    if (isAllShown && keys.next !== null) load({ goOn: true });
    else renderKeys();
  });
  $("all").addEventListener("click", () => load({ goOn: true, most: 1000, toTheEnd: true }));
  $("new-key").addEventListener("click", openCreate);
  $("create-category").addEventListener("change", sayCategory);
  onSubmit($("create-form"), $("create-problem"), create);
  onSubmit($("rotate-form"), $("rotate-problem"), rotate);
  onSubmit($("delete-form"), $("delete-problem"), remove);
  $("secret-form").addEventListener("submit", (event) => {
    event.preventDefault();
    // The browser says a moment later that it is closed.
    forgetSecret();
    $("secret").close();
  });
  $("secret").addEventListener("cancel", (event) => event.preventDefault());
  $("secret").addEventListener("close", leaveSecret);
  $("copy-secret").addEventListener("click", () => copy($("secret-text").value, "The key"));
  $("copy-curl").addEventListener("click", () => copy($("curl").textContent, "The call"));
  for (const button of document.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
}
