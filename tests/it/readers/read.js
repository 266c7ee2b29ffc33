// Says which model Node reads in each body: a line of hexadecimal in, a line of readings out.
//
// Two readings, divided by a tab: JSON.parse of the bytes as a Buffer decodes them, and as the web's own types do
// (TextDecoder, which drops a byte order mark). tests/it/readers/mod.rs says how a reading is written.
"use strict";

const text = (body) => body.toString("utf8");
const web = (body) => new TextDecoder().decode(body);

function read(decode, body) {
  let document;
  try {
    document = JSON.parse(decode(body));
  } catch {
    return "-";
  }
  const isObject = typeof document === "object" && document !== null && !Array.isArray(document);
  if (!isObject || !Object.hasOwn(document, "model")) {
    return "?";
  }
  return written(document.model);
}

function written(value) {
  if (typeof value === "string") {
    let units = "";
    for (let at = 0; at < value.length; at += 1) {
      units += unit(value.charCodeAt(at));
    }
    return `"${units}"`;
  }
  if (value === null || typeof value === "boolean") {
    return String(value);
  }
  if (typeof value === "number") {
    return "number";
  }
  return Array.isArray(value) ? "array" : "object";
}

function unit(code) {
  const isPlain = code >= 0x20 && code < 0x7f && !'"\\|'.includes(String.fromCharCode(code));
  return isPlain ? String.fromCharCode(code) : `\\u${code.toString(16).padStart(4, "0")}`;
}

const lines = require("node:fs").readFileSync(0, "latin1").split("\n");
const output = lines.slice(0, -1).map((line) => {
  const body = Buffer.from(line, "hex");
  return `${read(text, body)}\t${read(web, body)}\n`;
});
process.stdout.write(output.join(""));
