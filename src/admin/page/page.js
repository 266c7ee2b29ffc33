"use strict";
// What every part of the page uses: elements, words, and the way to the admin listener. What data says is only ever put
// in as text.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
const el = (name, attributes, ...children) => dress(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => dress(document.createElementNS(SVG, name), attributes, children);

/// A cell of a table that becomes a card where there is little room, so that its roles must be said.
const cell = (label, attributes, ...children) => el("td", { role: "cell", "data-label": label, ...attributes }, ...children);
const row = (attributes, ...cells) => el("tr", { role: "row", ...attributes }, ...cells);
const pill = (kind, text) => el("span", { class: `pill ${kind}` }, text);
const none = (text) => el("span", { class: "none" }, text);

/// Puts children in, and the focus back to where it was: elements are known by their data-focus.
function fill(parent, ...children) {
  const focus = parent.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
  parent.replaceChildren(...children);
  if (focus !== undefined) {
    const same = [...parent.querySelectorAll("[data-focus]")].find((element) => element.dataset.focus === focus);
    same?.focus();
  }
}

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/// The credential, and nowhere else.
let token = null;
/// How far this machine's clock is behind the database's, in milliseconds.
let behind = 0;
const now = () => Date.now() + behind;

/// Asks the admin listener as a program would. Throws `Refused` with what it says.
async function ask(method, path, body) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(15000),
    });
  } catch {
    const unknown = method === "GET" ? "" : " Whether it was done is not known: refresh the list to see.";
    throw new Refused(0, `The admin listener did not answer.${unknown}`);
  }
  let said = null;
  try {
    said = await answer.json();
  } catch {
    // What is no JSON says nothing more than its status.
  }
  if (answer.ok && said !== null) return said;
  const message = said?.message ?? said?.error?.message ?? said?.error ?? `The admin listener answered ${answer.status}.`;
  throw new Refused(answer.status, String(message));
}

function notify(text, isBad = false) {
  const notice = $("notice");
  notice.textContent = text;
  notice.classList.toggle("bad", isBad);
}

/// Says where a change is in force.
function inForce(change) {
  if (!change) return "";
  const after = `after ${change.after_ms} ms`;
  const silent = change.silent?.length ? ` Not heard of: ${change.silent.join(", ")}.` : "";
  if (change.everywhere) return `In force ${silent ? "on every instance that is heard" : "everywhere"} ${after}.${silent}`;
  if (change.behind.length) return `Not in force yet ${after} on: ${change.behind.join(", ")}.${silent}`;
  return `Whether it is in force everywhere could not be found out ${after}.`;
}

const UNITS = [["y", 31557600], ["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function span(ms) {
  const secs = Math.max(0, Math.round(ms / 1000));
  const [unit, length] = UNITS.find(([, length]) => secs >= length) ?? ["s", 1];
  return `${Math.floor(secs / length)} ${unit}`;
}

function moment(text) {
  const shown = new Date(text);
  return el("time", { datetime: text, title: shown.toLocaleString() }, `${span(now() - shown)} ago`);
}

const whole = new Intl.NumberFormat("en");
const plural = (count, one, many = `${one}s`) => `${whole.format(count)} ${count === 1 ? one : many}`;

function options(select, pairs) {
  select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
}

/// Has a dialog's form do something once at a time, and say what went wrong in it.
function onSubmit(form, problem, does) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = [...form.querySelectorAll("button")];
    if (buttons.some((button) => button.disabled)) return;
    problem.textContent = "";
    const focus = document.activeElement;
    buttons.forEach((button) => { button.disabled = true; });
    try {
      await does();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      problem.textContent = error.message;
      if (error.status === 401 && token !== null && form.id !== "gate-form") lock(error.message);
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
      if (form.contains(focus) && !form.contains(document.activeElement)) focus.focus();
    }
  });
}
