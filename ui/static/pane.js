// The source pane: the cited passages of one answer, and the whole text. Shares a scope with page.js, which
// is loaded after it; `server` is Gradio's way to the Python functions of ui/page.py.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const wide = window.matchMedia("(min-width: 1024px)"); // narrower, the pane lies over the page
const roomy = window.matchMedia("(min-width: 1200px)"); // narrower, the list of conversations does
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const smoothly = (block) => ({ block, behavior: calm.matches ? "auto" : "smooth" });

let shownTurn = null; // the turn whose sources the pane shows
let chosen = {}; // turn, the number of its card, and whether its sources are unfolded under it
let opener = null; // what had the focus when the pane was laid over the page

function showPane(open) {
  const over = open && !wide.matches, from = document.activeElement;
  document.body.dataset.pane = open ? "open" : "closed";
  for (const id of ["bar", "conversations", "middle"]) $("#" + id).inert = over;
  if (over) {
    opener = opener || from;
    $("#sources [role=tab][aria-selected=true]").focus();
  } else if (opener) {
    (opener.isConnected ? opener : box()).focus({ preventScroll: true });
    opener = null;
  }
}

function chooseTab(name) {
  for (const tab of $$("#sources [role=tab]")) {
    const chosen = tab.id === "tab-" + name;
    tab.setAttribute("aria-selected", chosen);
    tab.tabIndex = chosen ? 0 : -1;
    $("#" + tab.getAttribute("aria-controls")).hidden = !chosen;
  }
}

// Copies the sources that each answer carries into the pane; its ids stay with the original. While an answer grows,
// cards are added to those that are there: one of them may be marked, and have the focus.
function showSources(turn) {
  const cited = $("#cited");
  if (!cited || !turn) return;
  const cards = $(".cards", turn), copied = shownTurn === turn.dataset.turn && $(".cards", cited);
  shownTurn = turn.dataset.turn;
  if (cards && copied) {
    copied.append(...$$(".card", cards).slice(copied.children.length).map(copy));
    return;
  }
  const about = document.createElement("p");
  about.className = "about-question";
  about.textContent = $("h2", turn).textContent;
  cited.replaceChildren(about, cards ? copy(cards) : noSources(turn));
}

function copy(element) {
  const copied = element.cloneNode(true);
  for (const named of $$("[id]", copied)) named.removeAttribute("id");
  for (const card of $$(".card.current", copied)) card.classList.remove("current");
  return copied;
}

function noSources(turn) {
  const none = document.createElement("p");
  none.className = "empty";
  none.textContent = turn.getAttribute("aria-busy")
    ? "The sources come with the answer."
    : $(".refusal", turn)
      ? "Nothing in the glossary answers this question, so there is nothing to show."
      : "This answer has no sources.";
  return none;
}

function clearSources() {
  shownTurn = null;
  const note = document.createElement("p");
  note.className = "empty";
  note.textContent =
    "The passages that an answer rests on appear here, with the very words marked. " +
    "Choose a number in an answer to see where it stands.";
  $("#cited")?.replaceChildren(note);
}

// A marker was chosen: bring its card into view, in the pane or, on a narrow page, under the answer.
function showCitation(marker) {
  const turn = marker.closest(".turn"), n = marker.dataset.n;
  if (wide.matches) {
    showSources(turn);
    chooseTab("cited");
  }
  for (const card of $$(".card.current")) card.classList.remove("current");
  choose(turn, true, n);
  chooseAgain(turn);
  const card = $(`.card[data-n="${n}"]`, wide.matches ? $("#cited") : turn);
  if (!card) return;
  card.classList.add("current");
  card.focus({ preventScroll: true });
  ($("mark", card) || card).scrollIntoView(smoothly("center"));
}

function choose(turn, open, n) {
  const id = turn.dataset.turn;
  chosen = { turn: id, open, n: n || (chosen.turn === id ? chosen.n : undefined) };
}

// Each snapshot of an answer is written over the last one, and folds up what was unfolded there.
function chooseAgain(turn) {
  if (wide.matches || chosen.turn !== turn.dataset.turn || !$("details.sources", turn)) return;
  $("details.sources", turn).open = chosen.open;
  $(`.card[data-n="${chosen.n}"]`, turn)?.classList.add("current");
}

async function loadWhole(file) {
  const whole = $("#whole");
  if (whole.dataset.file !== undefined && (!file || whole.dataset.file === file)) return true;
  const told = await server.document({ file: file || "" });
  if (told.error) {
    toast(told.error);
    return false;
  }
  whole.innerHTML = told.text; // escaped by ui/source_view.py
  whole.dataset.file = $(".document", whole).dataset.file;
  return true;
}

async function showWhole(file) {
  chooseTab("whole");
  showPane(true);
  return loadWhole(file);
}

async function readInContext(card) {
  if (!(await showWhole(card.dataset.file))) return;
  const start = Number(card.dataset.start), end = Number(card.dataset.end);
  unmark();
  const marks = $$("#whole .block").flatMap((block) => markIn(block, start, end));
  const first = marks[0];
  if (!first) return;
  first.tabIndex = -1;
  first.focus({ preventScroll: true });
  first.scrollIntoView(smoothly("center"));
}

function unmark() {
  for (const mark of $$("#whole mark")) {
    const parent = mark.parentNode;
    mark.replaceWith(...mark.childNodes);
    parent.normalize();
  }
}

// Marks the characters start … end of the source in a block. Offsets count code points, strings UTF-16 units.
function markIn(block, start, end) {
  const blockStart = Number(block.dataset.start), blockEnd = Number(block.dataset.end);
  if (start >= blockEnd || end <= blockStart) return [];
  const letters = [...block.textContent];
  const units = (count) => letters.slice(0, Math.max(0, count)).join("").length;
  const from = units(start - blockStart), to = units(end - blockStart), marks = [];
  const texts = document.createTreeWalker(block, NodeFilter.SHOW_TEXT), found = [];
  for (let at = 0, node = texts.nextNode(); node; at += node.length, node = texts.nextNode()) {
    if (at < to && at + node.length > from) found.push([node, Math.max(0, from - at), Math.min(node.length, to - at)]);
  }
  for (const [node, first, last] of found) {
    const range = document.createRange();
    range.setStart(node, first);
    range.setEnd(node, last);
    const mark = document.createElement("mark");
    range.surroundContents(mark);
    marks.push(mark);
  }
  return marks;
}

// The quotation of a marker, beside it while the pointer or the focus is on it.
function preview(marker) {
  const box = $("#preview");
  const card = marker && $(`.card[data-n="${marker.dataset.n}"]`, marker.closest(".turn"));
  if (!card) {
    box.hidden = true;
    return;
  }
  const where = document.createElement("small");
  where.className = "path";
  where.append(...$$(".path span", card).slice(-2).map(copy));
  const quote = document.createElement("p");
  quote.textContent = $(".quoted", card).textContent;
  box.replaceChildren(where, quote);
  box.hidden = false;
  const at = marker.getBoundingClientRect(), size = box.getBoundingClientRect();
  const above = at.top - size.height - 8;
  box.style.left = Math.max(8, Math.min(at.left - 16, window.innerWidth - size.width - 8)) + "px";
  box.style.top = (above > 8 ? above : at.bottom + 8) + "px";
}
