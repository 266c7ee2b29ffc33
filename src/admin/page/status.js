// What is looked at again and again: traffic, refusals, instances.

const LOOK_EVERY = 2000;
const SHOWN_FOR = 300000;
const REASONS = {
  no_route: "no such route, or another method",
  ambiguous: "the target, the host or a header can be read in two ways",
  malformed_framing: "not HTTP/1, or framed in two ways",
  missing_key: "no key was presented",
  malformed_key: "not a key, or two that differ",
  unknown_key: "no key of ours",
  key_disabled: "the key is disabled",
  key_expired: "the key has expired",
  category_not_allowed: "keys of this category may not do this",
  model_not_allowed: "the key is not for this model",
  model_not_named: "the key is for some models, and the route names none",
  models_differ: "two places name different models",
  body_ambiguous: "the body can be read in two ways, or in none",
  body_unreadable: "the model stands in a body that is not read",
  model_too_late: "the model comes too late in the body",
  head_too_large: "the head is too large",
  keys_unavailable: "the key database does not answer",
  held_bodies_full: "too many large bodies at once",
  answer_unfilterable: "an answer that must be cut to the key, and cannot be",
  overloaded: "too many requests at once",
  body_too_large_to_sign: "too large to be signed for the upstream",
  no_upstream_key: "no key of the upstream is for this call",
  upstream_keys_resting: "every key of the upstream rests",
  upstream_failed: "the upstream broke off, or was not reached",
  upstream_timed_out: "the upstream took too long",
  caller_gone: "the caller went away",
};
const MEMORY = {
  empty: ["bad", "empty", "Memory was never filled from the key database: no key is served."],
  fresh: ["good", "fresh", "Memory follows the key database."],
  degraded: ["warn", "degraded", "The key database has not answered lately: known keys are served on."],
  stale: ["bad", "stale", "The key database has not answered for too long: no key is served."],
};

const status = { last: null, at: 0, turn: 0, timer: null, isPaused: false };

async function look() {
  clearTimeout(status.timer);
  const turn = ++status.turn;
  const asked = token;
  if (!document.hidden && asked !== null) {
    try {
      const answer = await ask("GET", "/v1/status");
      if (token !== asked || turn !== status.turn) return;
      behind = Date.parse(answer.now) - Date.now();
      // The database's time comes in whole seconds.
      if (Math.abs(behind) < 2000) behind = 0;
      [status.last, status.at] = [answer, Date.now()];
      renderStatus(answer);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (token !== asked) return;
      if (error.status === 401) return lock(error.message);
      const since = status.at ? ` for ${span(Date.now() - status.at)}` : "";
      show($("freshness"), "bad", `no answer${since}`);
    }
  }
  if (turn === status.turn) status.timer = setTimeout(look, LOOK_EVERY);
}

function show(element, kind, text) {
  element.className = `pill ${kind}`;
  element.textContent = text;
}

function renderStatus(answer) {
  const [kind, word, says] = MEMORY[answer.this.memory];
  show($("freshness"), kind, `${answer.this.name}: ${word}`);
  $("version").textContent = `keyward ${answer.this.version}`;
  const parts = [says];
  if (answer.this.sealed) parts.push("It is that of the sealed set: the key database has not answered since the start.");
  if (answer.this.age_ms !== null) parts.push(`The last look at the database that succeeded began ${answer.this.age_ms} ms ago.`);
  parts.push(answer.this.complete ? "It holds every key." : "It holds a part of the keys.");
  fill($("memory"), pill(kind, word), ` ${answer.this.name}, the instance that answers. ${parts.join(" ")}`);
  renderInstances(answer.instances);
  renderTraffic(answer.traffic);
  if (!status.isPaused) renderRefusals(answer);
}

function renderInstances(instances) {
  $("instances-none").hidden = instances !== null;
  $("instances-none").textContent = "The key database does not answer: how far the instances are is not known.";
  $("instances-table").hidden = instances === null;
  fill($("instance-rows"), ...(instances ?? []).map((instance) => row({},
    cell("Name", {}, instance.name),
    cell("State", {}, instance.heard ? pill("good", "heard") : pill("bad", "silent")),
    cell("Last heard of", { class: "when" }, moment(instance.seen_at)),
    cell("Changes behind", { class: "number" }, whole.format(instance.behind_by)),
    cell("Running", { class: "when" }, `for ${span(now() - Date.parse(instance.started_at))}`))));
}

function renderRefusals(answer) {
  const counts = answer.refused.toSorted((one, other) => other.count - one.count);
  const most = Math.max(1, ...counts.map((one) => one.count));
  const reasons = counts.map(({ reason, count }) => el("li", {},
    el("code", {}, reason), el("span", { class: "count" }, whole.format(count)),
    svg("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: Math.max(1, (100 * count) / most), height: 4 }))));
  fill($("reasons"), ...(reasons.length ? reasons : [el("li", { class: "muted" }, "Nothing was refused.")]));
  // The newest comes first: what is like it says nothing new.
  const kinds = new Map();
  for (const refusal of answer.refusals) {
    const kind = [refusal.reason, refusal.route, refusal.prefix].join("\n");
    if (!kinds.has(kind)) kinds.set(kind, refusal);
  }
  const rows = [...kinds.values()].slice(0, 40).map((refusal) => row({},
    cell("When", { class: "when" }, moment(refusal.at)),
    cell("Why", {}, el("div", {}, el("code", {}, refusal.reason), el("span", { class: "says" }, REASONS[refusal.reason] ?? ""))),
    cell("Route", { class: "mono" }, refusal.route ?? none("none")),
    cell("Key", {}, refusal.prefix === null ? none("not known") : el("button", {
      type: "button", class: "link", "data-focus": `refusal ${refusal.prefix}`, "aria-label": `Find key ${refusal.prefix}`,
      click: () => findKey(refusal.prefix),
    }, refusal.prefix))));
  fill($("refusal-rows"), ...(rows.length ? rows : [row({}, cell("", { colspan: 4, class: "muted" }, "None yet."))]));
}

function findKey(prefix) {
  $("search").value = keys.search = prefix;
  renderKeys();
  $("search").focus();
}

const perSecond = (count, window) => (window.over_ms ? (1000 * count) / window.over_ms : 0);
const rate = (value) => (value >= 100 ? whole.format(Math.round(value)) : value.toFixed(value >= 10 ? 0 : 1));
const time = (ms) => {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 10) return `${Math.round(ms)} ms`;
  return ms >= 1 ? `${ms.toFixed(1)} ms` : `${Math.round(ms * 1000)} \u00b5s`;
};

const PLOTS = [
  ["Requests per second", rate, [
    ["forwarded", (window) => perSecond(window.forwarded, window)],
    ["refused or failed", (window) => perSecond(window.refused, window)]]],
  ["Until the upstream answers", time, [["half of the calls", (window) => window.answer_p50_ms], ["99 %", (window) => window.answer_p99_ms]]],
  ["What keyward adds", time, [["half of the calls", (window) => window.admission_p50_ms], ["99 %", (window) => window.admission_p99_ms]]],
];

function renderTraffic(traffic) {
  const windows = traffic.map((window) => ({ ...window, ago: now() - Date.parse(window.at) }));
  $("plots").replaceChildren(...PLOTS.map(([title, unit, series]) => plot(title, unit, series, windows)));
}

function plot(title, unit, series, windows) {
  const lines = series.map(([name, of]) => {
    const points = windows.map((window) => [1 - window.ago / SHOWN_FOR, of(window)]).filter(([x]) => x >= 0);
    const last = points.findLast(([, y]) => y !== null)?.[1];
    return { name, points, says: last === undefined ? "none yet" : unit(last) };
  });
  const most = Math.max(...lines.flatMap((line) => line.points.map(([, y]) => y ?? 0)), 0);
  const top = most || 1;
  const styles = ["one", "two"];
  const drawn = lines.flatMap((line, place) => runs(line.points).flatMap((run) => {
    const at = run.map(([x, y]) => `${(x * 300).toFixed(1)} ${(96 - (92 * y) / top).toFixed(1)}`);
    const path = `M${at.join("L")}${at.length === 1 ? "h0.01" : ""}`;
    const [first, end] = [run[0][0] * 300, run[run.length - 1][0] * 300];
    const area = place === 0 ? svg("path", { class: "under", d: `${path}L${end.toFixed(1)} 97L${first.toFixed(1)} 97Z` }) : null;
    return [area, svg("path", { class: styles[place], d: path })].filter(Boolean);
  }));
  const said = lines.map((line) => `${line.name} ${line.says}`).join(", ");
  return el("figure", {},
    el("figcaption", {}, el("strong", {}, title),
      el("span", { class: "legend" }, ...lines.map((line, place) => el("span", {},
        svg("svg", { viewBox: "0 0 20 8", "aria-hidden": "true" }, svg("path", { class: styles[place], d: "M0 4H20" })),
        line.name, el("b", {}, line.says))))),
    svg("svg", { class: "plot", viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${said}; at most ${unit(most)} in five minutes` },
      svg("path", { class: "top-line", d: "M0 4H300" }), svg("path", { class: "base", d: "M0 97H300" }), ...drawn),
    el("div", { class: "axis" }, el("span", {}, "5 min ago"), el("span", {}, most ? `most: ${unit(most)}` : ""), el("span", {}, "now")));
}

/// What can be drawn without a gap.
function runs(points) {
  const found = [[]];
  for (const point of points) {
    if (point[1] === null) found.push([]);
    else found[found.length - 1].push(point);
  }
  return found.filter((run) => run.length);
}

async function loadUpstreamKeys() {
  const says = $("upstream-none");
  try {
    const all = await ask("GET", "/api/keys");
    if (token === null) return;
    $("upstream-table").hidden = all.length === 0;
    says.hidden = all.length > 0;
    says.textContent = "The settings name none.";
    fill($("upstream-rows"), ...all.map(upstreamRow));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    $("upstream-table").hidden = true;
    says.hidden = false;
    says.textContent = error.status === 404 ? "This listener does not speak the dialect `bifrost` (admin.dialects)." : error.message;
  }
}

function upstreamRow(key) {
  const cloud = ["azure", "vertex", "bedrock"].find((name) => key[`${name}_key_config`] !== null);
  const text = key.value.value || (cloud ? `by ${cloud}` : "");
  const models = key.models.length === 1 && key.models[0] === "*" ? null : key.models;
  const denied = key.blacklisted_models.length ? el("span", { class: "says" }, `not ${key.blacklisted_models.join(", ")}`) : null;
  return row({},
    cell("Upstream", {}, key.provider),
    cell("Name", {}, key.name || key.id),
    cell("Key", {}, el("div", {}, el("code", {}, text || "none"), key.value.env_var ? el("span", { class: "says" }, `from ${key.value.env_var}`) : null)),
    cell("Models", {}, el("div", {}, models?.length === 0 ? none("none") : modelsOf(models, `upstream ${key.id}`), denied)),
    cell("Weight", { class: "number" }, String(key.weight)),
    cell("State", {}, key.enabled ? pill("good", "in use") : pill("bad", "disabled")));
}
