// Coming in, and leaving.

/// Forgets the credential and all that was shown with it.
function lock(why = "") {
  token = null;
  clearTimeout(status.timer);
  Object.assign(keys, { loaded: [], next: null, search: "", category: "", order: null, down: false, shown: PAGE, turn: keys.turn + 1 });
  Object.assign(status, { last: null, at: 0 });
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const id of ["keys-rows", "refusal-rows", "reasons", "upstream-rows", "instance-rows", "plots", "memory", "who", "version", "keys-count"]) {
    $(id).replaceChildren();
  }
  $("find").reset();
  notify("");
  for (const id of ["app", "sections", "session"]) $(id).hidden = true;
  $("gate").hidden = false;
  $("gate-problem").textContent = why;
  $("token").value = "";
  $("token").focus();
}

async function unlock() {
  token = $("token").value.trim();
  let caller;
  try {
    // What no header can hold would be an error of the browser's.
    if (!/^[\x21-\x7e]+$/.test(token)) throw new Refused(401, "this credential is not valid");
    caller = await ask("GET", "/v1/users/me");
  } catch (error) {
    token = null;
    if (error instanceof Refused && error.status === 404) {
      throw new Refused(404, "This listener does not speak the dialect `baseten` (admin.dialects), which this page needs.");
    }
    throw error;
  }
  $("token").value = "";
  $("who").textContent = `as ${caller.user_id}`;
  $("gate").hidden = true;
  for (const id of ["app", "sections", "session"]) $(id).hidden = false;
  $("app-title").focus();
  await Promise.all([load(), look(), loadUpstreamKeys()]);
}

setUpKeys();
onSubmit($("gate-form"), $("gate-problem"), unlock);
$("lock").addEventListener("click", () => lock());
$("pause").addEventListener("click", () => {
  status.isPaused = !status.isPaused;
  $("pause").setAttribute("aria-pressed", String(status.isPaused));
  if (!status.isPaused && status.last) renderRefusals(status.last);
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && token !== null) look(); });
lock();
