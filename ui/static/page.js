// What the page does beside Gradio's own events: buttons inside its HTML, the keyboard, announcements, dialogs.
// Gradio gives `trigger`, which starts the events 'ask_again', 'choose', 'remove' and 'rename' of ui/page.py,
// and `server`, which calls its functions.

const box = () => $("#box textarea");
const current = () => $("#thread [data-conversation]")?.dataset.conversation || "";
const lastTurn = () => $$("#running .turn").at(-1) || $$("#thread .turn").at(-1);
const words = (said) => $$(".text", said).map((t) => t.textContent).join("") || said.textContent;
const plain = (turn) => $$(".said, .refusal, .note.error", turn).map(words).join(" ");

function announce(message) {
  $("#announcer").textContent = message;
}

function showConversations(open) {
  if (!open && $("#conversations").contains(document.activeElement)) $("#show-conversations").focus();
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
    if (!roomy.matches) showConversations(false);
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
  else if (!roomy.matches && on("#new")) showConversations(false);
  else if ((found = on("details.sources summary"))) choose(found.closest(".turn"), !found.parentNode.open);
});

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form.comment");
  if (!form) return;
  event.preventDefault();
  comment(form);
});

document.addEventListener("change", (event) => {
  if (event.target.matches("#whole select[name=file]")) loadWhole(event.target.value);
});

document.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (key === "Escape" && !$("dialog[open]")) {
    if (!$("#preview").hidden) preview(null);
    if (!closeTop() && document.body.dataset.live) $("#stop")?.click();
  } else if (key === "Enter" && target.matches("#prompt textarea") && !event.isComposing) {
    if (event.shiftKey && target.rows > 1) return;
    event.preventDefault();
    $("#prompt [value=ok]").click();
  } else if (key === "/" && !target.matches("input, textarea, select") && !$("dialog[open]")) {
    event.preventDefault();
    box()?.focus();
  } else if (target.matches("[role=tab]") && ["ArrowLeft", "ArrowRight"].includes(key)) {
    const other = $("#sources [role=tab][aria-selected=false]");
    if (!other.checkVisibility()) return; // a narrow page has one tab
    other.click();
    other.focus();
  }
});

// Closes what lies over the page, the uppermost first; false where nothing does.
function closeTop() {
  const menu = $("details.menu[open]");
  if (menu) {
    menu.open = false;
    $("summary", menu).focus();
  } else if (!wide.matches && document.body.dataset.pane === "open") showPane(false);
  else if (!roomy.matches && document.body.dataset.conversations === "open") showConversations(false);
  else return false;
  return true;
}

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
  renewComments();
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
  else if (fresh || shownTurn === now.turn) showSources(turn);
  if (turn) chooseAgain(turn);
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
  roomy.addEventListener("change", () => showConversations(roomy.matches));
  wide.addEventListener("change", () => showPane(false));
  showConversations(roomy.matches);
  showPane(false);
  changed();
  const named = new URL(location.href).searchParams.get("conversation");
  if (named) trigger("choose", { id: named });
}
begin();
