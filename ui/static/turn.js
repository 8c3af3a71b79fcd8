// What is done to a turn and to a conversation: asked again, copied, voted on, renamed, exported. Shares a scope with
// page.js, which is loaded after it; Gradio gives `trigger` and `server`.

function toast(message) {
  const shown = $("#toast");
  shown.textContent = message;
  shown.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (shown.hidden = true), 4000);
}

// Asks in a dialog; resolves to the text given, or to null where it was left. Without `text` it asks yes or no.
// A text of several lines is broken by Shift+Enter, as in the box for questions.
function ask(title, text, label, lines = 1) {
  const dialog = $("#prompt"), field = $("#prompt-field"), area = $("textarea", field);
  $("#prompt-title").textContent = title;
  field.hidden = text === undefined;
  $("span", field).textContent = label || "";
  area.value = text || "";
  area.rows = lines;
  dialog.returnValue = "";
  dialog.showModal();
  (field.hidden ? $("[value=ok]", dialog) : area).focus();
  return new Promise((done) =>
    dialog.addEventListener("close", () => done(dialog.returnValue === "ok" ? area.value.trim() : null), { once: true })
  );
}

function askPage(text, replaces = 0) {
  trigger("ask_again", { text, replaces });
  box()?.focus({ preventScroll: true });
}

const actions = {
  async copy(turn, button) {
    await copyText(button.dataset.markdown);
    toast("Copied with its sources, as Markdown");
  },
  retry(turn) {
    askPage($("h2", turn).textContent, turn.dataset.last === "1" ? Number(turn.dataset.turn) : 0);
  },
  async edit(turn) {
    const last = turn.dataset.last === "1";
    const label = last ? "This question and its answer are replaced." : "It is asked anew, at the end.";
    const text = await ask("Edit the question", $("h2", turn).textContent, label, 3);
    if (text) askPage(text, last ? Number(turn.dataset.turn) : 0);
  },
  words(turn, button) {
    const on = turn.classList.toggle("worded");
    button.setAttribute("aria-pressed", on);
  },
  up: (turn, button) => vote(turn, button, 1),
  down: (turn, button) => vote(turn, button, -1),
};

async function vote(turn, button, value) {
  const given = button.getAttribute("aria-pressed") === "true" ? 0 : value;
  if (!(await sendVote(turn, given))) return;
  for (const [name, of] of [["up", 1], ["down", -1]]) {
    $(`[data-do=${name}]`, turn).setAttribute("aria-pressed", given === of);
  }
  const form = $("form.comment", turn);
  form.hidden = given === 0;
  if (given) form.elements.comment.focus();
}

async function comment(form) {
  const turn = form.closest(".turn");
  const given = $("[data-do=up]", turn).getAttribute("aria-pressed") === "true" ? 1 : -1;
  if (!(await sendVote(turn, given))) return;
  form.hidden = true;
  toast("Thank you: the comment is kept.");
}

// Resolves to whether the vote was kept and its turn is still the one that is shown there.
async function sendVote(turn, vote) {
  const id = turn.dataset.turn, comment = $("form.comment", turn).elements.comment.value;
  return (await tell(server.vote({ turn: id, vote, comment }))) !== null && turn.dataset.turn === id;
}

// Gradio writes a turn into the elements of another one: what was typed for that one must not go with it.
const written = new WeakMap(); // comment form → the turn that it was written for
function renewComments() {
  for (const form of $$("form.comment")) {
    const turn = form.closest(".turn").dataset.turn;
    if (written.get(form) !== turn) form.reset();
    written.set(form, turn);
  }
}

async function tell(call) {
  const told = await call.catch(() => ({ error: "The server does not answer: is it still running?" }));
  if (told.error) toast(told.error);
  return told.error ? null : told;
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea"); // a page on another address is given no clipboard
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

async function manage(item, what) {
  const id = item.dataset.id, title = $(".open span", item).textContent;
  $("details", item).open = false;
  if (what === "rename") {
    const given = await ask("Rename this conversation", title, "Title");
    if (given !== null) trigger("rename", { id, title: given });
  } else if (what === "delete") {
    if ((await ask(`Delete “${title}”? It cannot be brought back.`)) !== null) trigger("remove", { id });
  } else {
    const told = await tell(server.export({ id, kind: what }));
    if (told) save(told.text, title, what === "json" ? ["json", "application/json"] : ["md", "text/markdown"]);
  }
}

function save(text, title, [suffix, type]) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: type + ";charset=utf-8" }));
  link.download = (title.replace(/[^\p{L}\p{N} _-]/gu, "").trim().slice(0, 60) || "conversation") + "." + suffix;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
