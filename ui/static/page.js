// What the page does beside Gradio's own events: buttons inside its HTML, the keyboard, announcements, dialogs.
// Gradio gives `trigger`, which starts the events 'ask_again', 'choose', 'remove' and 'rename' of ui/page.py,
// and `server`, which calls its functions.

const box = () => $("#box textarea");
const current = () => $("#thread [data-conversation]")?.dataset.conversation || "";
const lastTurn = () => $("#running .turn") || $$("#thread .turn").at(-1);
const words = (said) => $$(".text", said).map((t) => t.textContent).join("") || said.textContent;
const plain = (turn) => $$(".said, .refusal, .note.error", turn).map(words).join(" ");

function toast(message) {
  const shown = $("#toast");
  shown.textContent = message;
  shown.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => (shown.hidden = true), 4000);
}

function announce(message) {
  $("#announcer").textContent = message;
}

// Asks in a dialog; resolves to the text given, or to null where it was left. Without `text` it asks yes or no.
function ask(title, text, label) {
  const dialog = $("#prompt"), field = $("#prompt-field"), area = $("textarea", field);
  $("#prompt-title").textContent = title;
  field.hidden = text === undefined;
  $("span", field).textContent = label || "";
  area.value = text || "";
  dialog.returnValue = "";
  dialog.showModal();
  (field.hidden ? $("[value=ok]", dialog) : area).focus();
  return new Promise((done) =>
    dialog.addEventListener("close", () => done(dialog.returnValue === "ok" ? area.value.trim() || "ok" : null), { once: true })
  );
}

function askPage(text, retract) {
  trigger("ask_again", { text, retract: retract || 0 });
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
    const text = await ask("Edit the question", $("h2", turn).textContent, label);
    if (text && text !== "ok") askPage(text, last ? Number(turn.dataset.turn) : 0);
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
  const form = $("form.comment", turn);
  if (!(await tell(server.vote({ turn: turn.dataset.turn, vote: given, comment: form.elements.comment.value })))) return;
  for (const [name, of] of [["up", 1], ["down", -1]]) {
    $(`[data-do=${name}]`, turn).setAttribute("aria-pressed", given === of);
  }
  form.hidden = given === 0;
  if (given) form.elements.comment.focus();
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
    if (given) trigger("rename", { id, title: given });
  } else if (what === "delete") {
    if (await ask(`Delete “${title}”? It cannot be brought back.`)) trigger("remove", { id });
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

function showConversations(open) {
  document.body.dataset.conversations = open ? "open" : "closed";
  $("#show-conversations")?.setAttribute("aria-expanded", open);
}

async function showAbout() {
  const told = await tell(server.about({}));
  if (told) $("#about .about").innerHTML = told.text; // escaped by ui/about.py
  $("#about").showModal();
}

document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest?.(selector);
  let found;
  for (const menu of $$("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  if ((found = on(".marker"))) showCitation(found);
  else if ((found = on("[data-ask]"))) askPage(found.dataset.ask);
  else if ((found = on("[data-do]"))) actions[found.dataset.do](found.closest(".turn"), found);
  else if ((found = on("[data-open]"))) {
    trigger("choose", { id: found.dataset.open });
    if (!wide.matches) showConversations(false);
  } else if ((found = on("[data-manage]"))) manage(found.closest("li"), found.dataset.manage);
  else if ((found = on(".context"))) readInContext(found.closest(".card"));
  else if ((found = on("#whole [data-section]")) && found.tagName === "BUTTON") {
    const section = $(`#whole section[data-section="${found.dataset.section}"]`);
    section.scrollIntoView(smoothly("start"));
    section.firstElementChild?.focus({ preventScroll: true });
  } else if ((found = on("#sources [role=tab]"))) {
    chooseTab(found.id.slice(4));
    if (found.id === "tab-whole") loadWhole();
  } else if (on("#show-whole")) {
    if (wide.matches || document.body.dataset.pane !== "open") showWhole();
  } else if (on("#close-pane")) showPane(false);
  else if (on("#show-conversations")) showConversations(document.body.dataset.conversations !== "open");
  else if (on("#show-about")) showAbout();
  else if (!wide.matches && on("#new")) showConversations(false);
});

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form.comment");
  if (!form) return;
  event.preventDefault();
  const turn = form.closest(".turn");
  const given = $("[data-do=up]", turn).getAttribute("aria-pressed") === "true" ? 1 : -1;
  if (!(await tell(server.vote({ turn: turn.dataset.turn, vote: given, comment: form.elements.comment.value })))) return;
  form.hidden = true;
  toast("Thank you: the comment is kept.");
});

document.addEventListener("change", (event) => {
  if (event.target.matches("#whole select[name=file]")) loadWhole(event.target.value);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !$("dialog[open]")) {
    if (!$("#preview").hidden) preview(null);
    if (document.body.dataset.live) $("#stop")?.click();
    else if (!wide.matches) showConversations(false), showPane(false);
    for (const menu of $$("details.menu[open]")) menu.open = false;
  } else if (event.key === "/" && !event.target.matches("input, textarea, select") && !$("dialog[open]")) {
    event.preventDefault();
    box()?.focus();
  } else if (event.target.matches("[role=tab]") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const other = $("#sources [role=tab][aria-selected=false]");
    other.click();
    other.focus();
  }
});

for (const [begins, ends] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
  document.addEventListener(begins, (event) => event.target.matches?.(".marker") && preview(event.target));
  document.addEventListener(ends, (event) => event.target.matches?.(".marker") && preview(null));
}

// Follows what the server writes on the page.
// at first the address may name a conversation that is not shown yet: "" keeps it there
let before = { turn: undefined, state: undefined, conversation: "" };
function changed() {
  const turn = lastTurn(), running = $("#running [data-conversation]"), conversation = current();
  // a frame of a conversation that was left may still arrive after the one that left it
  $("#running").classList.toggle("stale", Boolean(running) && running.dataset.conversation !== conversation);
  const live = $("#running .turn[aria-busy]") ? "1" : "";
  if (live) document.body.dataset.live = live;
  else delete document.body.dataset.live;
  document.body.dataset.empty = turn ? "" : "1";
  if (conversation !== before.conversation) {
    const address = new URL(location.href);
    if (conversation) address.searchParams.set("conversation", conversation);
    else address.searchParams.delete("conversation");
    history.replaceState(null, "", address);
  }
  const now = { turn: turn?.dataset.turn, state: turn?.dataset.state, conversation };
  const fresh = now.turn !== before.turn || conversation !== before.conversation;
  if (!turn) clearSources();
  else if (fresh || shownTurn === now.turn || shownTurn === "0") showSources(turn);
  if (turn && (fresh || pinned)) follow(turn);
  if (turn && (fresh || now.state !== before.state)) news(turn, now.state, fresh && before.conversation !== conversation);
  before = now;
}

// Keeps the end of the answer in sight as it grows, but never scrolls its question away.
let pinned = true;
function follow(turn) {
  const scroll = $("#scroll"), top = turn.getBoundingClientRect().top - scroll.getBoundingClientRect().top + scroll.scrollTop;
  scroll.scrollTo({ top: Math.min(scroll.scrollHeight, top) });
}

function news(turn, state, opened) {
  if (state === "waiting" || state === "loading") announce($(".note", turn)?.textContent || "");
  else if (state === "answering") announce("Looking it up");
  else if (!opened) {
    const sources = $$(".card", turn).length;
    announce(`${state === "stopped" ? "Stopped. " : ""}Answer: ${plain(turn)} ${sources ? sources + " sources." : ""}`);
  }
}

function begin() {
  if (!$("#thread") || !$("#running") || !$("#sources")) return void setTimeout(begin, 30);
  const observer = new MutationObserver(changed);
  for (const id of ["thread", "running"]) observer.observe($("#" + id), { childList: true, subtree: true, attributes: true,
    attributeFilter: ["data-state", "data-turn", "data-conversation", "aria-busy", "data-n"] });
  $("#scroll").addEventListener("scroll", ({ target }) => {
    pinned = target.scrollHeight - target.scrollTop - target.clientHeight < 120;
  });
  const roles = { conversations: ["navigation", "Conversations"], pane: ["complementary", "Sources"], middle: ["region", "Conversation"] };
  for (const [id, [role, name]] of Object.entries(roles)) {
    $("#" + id).setAttribute("role", role);
    $("#" + id).setAttribute("aria-label", name);
  }
  const roomy = window.matchMedia("(min-width: 1200px)");
  roomy.addEventListener("change", () => showConversations(roomy.matches));
  showConversations(roomy.matches);
  showPane(false);
  changed();
  const named = new URL(location.href).searchParams.get("conversation");
  if (named) trigger("choose", { id: named });
}
begin();
