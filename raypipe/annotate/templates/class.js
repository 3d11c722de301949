// The page of one class: one cluster in focus, answered by a key, then on to the next.
const QUESTIONS = DATA.questions;
const SECTIONS = [...document.querySelectorAll(".cluster")];
const STEPS = [...document.querySelectorAll("#steps button")];
const OVERLAYS = ["lit", "outline", "plain"];
const LONGEST = 120; // seconds; whoever takes longer was away, and that says nothing of the answer
const PAUSE = 300; // milliseconds in which a slip can be taken back before the next page

let store = null;
let focus = 0;
let leaving = null; // timer of the next page
let departure = 0; // grows when leaving is called off

// -- seconds an answer: from when its question is in focus and seen, to the key -----------------

const watch = {
  spent: 0,
  since: null,
  start() {
    this.spent = 0;
    this.since = document.hidden ? null : performance.now();
  },
  pause() {
    if (this.since !== null) this.spent += performance.now() - this.since;
    this.since = null;
  },
  resume() {
    this.since ??= performance.now();
  },
  read() {
    const now = this.since === null ? 0 : performance.now() - this.since;
    const seconds = (this.spent + now) / 1000;
    return seconds > LONGEST ? null : Math.round(seconds * 100) / 100;
  },
};

document.addEventListener("visibilitychange", () => {
  if (document.hidden) watch.pause();
  else watch.resume();
});

// -- what is answered -------------------------------------------------------------------------

function verdictOf(question) {
  return store.answers.get(keyOf(question))?.verdict ?? null;
}

// A cluster that is asked about with its group waits for no answer of its own.
function isOpen(place) {
  return !QUESTIONS[place].group && verdictOf(QUESTIONS[place]) === null;
}

function nextOpen() {
  const places = QUESTIONS.map((_, step) => (focus + 1 + step) % QUESTIONS.length);
  return places.find(isOpen) ?? null;
}

// -- showing ----------------------------------------------------------------------------------

function label(element, verdict, empty) {
  element.dataset.verdict = verdict ?? "";
  element.textContent = verdict ? VERDICTS[verdict] : empty;
}

function render() {
  QUESTIONS.forEach((question, place) => {
    const own = verdictOf(question);
    const group = question.group ? verdictOf(question.group) : null;
    const here = place === focus;
    SECTIONS[place].toggleAttribute("aria-current", here);
    if (here) SECTIONS[place].setAttribute("aria-current", "true");
    label(SECTIONS[place].querySelector(".verdict"), own ?? group, "not answered");
    const through = SECTIONS[place].querySelector(".through");
    if (through) {
      label(through.querySelector("b"), group, "not answered");
      through.querySelector(".own").hidden = own === null;
    }
    STEPS[place].toggleAttribute("aria-current", here);
    if (here) STEPS[place].setAttribute("aria-current", "step");
    label(STEPS[place].querySelector("span"), own ?? group, "open");
  });
  const chosen = QUESTIONS.length ? verdictOf(QUESTIONS[focus]) : null;
  for (const button of document.querySelectorAll("#verdicts button")) {
    button.setAttribute("aria-pressed", String(button.dataset.verdict === chosen));
  }
  at("asked").textContent = QUESTIONS.length
    ? `${focus + 1} of ${QUESTIONS.length}`
    : "no cluster";
  at("undo").disabled = !store.summary.canUndo && !store.unsaved;
  const done = !QUESTIONS.some((_, place) => isOpen(place));
  store.mark(done);
  at("next").classList.toggle("ready", done);
  showProgress(store.summary, API ? "" : " here");
}

function focusOn(place) {
  if (place < 0 || place >= QUESTIONS.length) return;
  focus = place;
  render();
  const top = SECTIONS[place].getBoundingClientRect().top;
  if (top < 0 || top > window.innerHeight / 2) at("clusters").scrollIntoView({ block: "start" });
  watch.start();
}

function say(text) {
  at("said").textContent = text;
}

// -- acting -----------------------------------------------------------------------------------

function choose(verdict) {
  if (!store || !QUESTIONS.length) return;
  const question = QUESTIONS[focus];
  const wasOpen = isOpen(focus) || leaving !== null;
  stay();
  store.answer(question, verdict, watch.read());
  const place = nextOpen();
  const now = place === null ? "" : ` Now cluster ${QUESTIONS[place].cluster}.`;
  say(`Cluster ${question.cluster}: ${VERDICTS[verdict]}.${wasOpen ? now : ""}`);
  if (place !== null && wasOpen) focusOn(place);
  else if (wasOpen) leave();
  else watch.start();
}

function move(step) {
  stay();
  focusOn(focus + step);
}

// The page is done: go on by itself in a moment, unless something is taken back.
function leave() {
  say(at("said").textContent + " All clusters of this page are answered.");
  if (!API && !keeping) return; // the answers would not come along
  at("next").classList.add("leaving");
  leaving = setTimeout(onward, PAUSE);
}

function stay() {
  clearTimeout(leaving);
  leaving = null;
  departure += 1;
  at("next").classList.remove("leaving");
}

async function onward() {
  stay();
  at("next").classList.add("leaving");
  const own = departure;
  await store.settled(); // a page that is left sends nothing more
  if (own !== departure) return;
  const page = store.next;
  go(page && page !== DATA.page ? page : "index.html");
}

async function step(verb) {
  stay();
  const changed = await store[verb]();
  if (!changed) {
    say(`Nothing to ${verb}.`);
    return;
  }
  const place = QUESTIONS.findIndex((question) => keyOf(question) === keyOf(changed));
  if (place < 0) {
    go(changed.page, changed.cluster);
    return;
  }
  focusOn(place);
  say(`Cluster ${changed.cluster}: ${changed.verdict ? VERDICTS[changed.verdict] : "no answer"}.`);
}

function setOverlay(mode) {
  document.documentElement.dataset.overlay = mode;
  at("overlay").querySelector("span").textContent = mode;
  keep("raypipe:overlay", mode);
}

function cycleOverlay() {
  const now = OVERLAYS.indexOf(document.documentElement.dataset.overlay);
  setOverlay(OVERLAYS[(now + 1) % OVERLAYS.length]);
  say(`Overlay: ${document.documentElement.dataset.overlay}.`);
}

function fromHash() {
  const place = SECTIONS.findIndex((section) => `#${section.id}` === location.hash);
  return place < 0 ? null : place;
}

function setUp() {
  setUpCommon(store);
  const mode = recall("raypipe:overlay", OVERLAYS[0]);
  setOverlay(OVERLAYS.includes(mode) ? mode : OVERLAYS[0]);
  for (const button of document.querySelectorAll("#verdicts button")) {
    button.addEventListener("click", () => choose(button.dataset.verdict));
  }
  STEPS.forEach((button, place) => button.addEventListener("click", () => {
    move(place - focus);
  }));
  SECTIONS.forEach((section, place) => section.addEventListener("click", (event) => {
    if (place !== focus && !event.target.closest("a, summary")) move(place - focus);
  }));
  at("undo").addEventListener("click", () => step("undo"));
  at("next").addEventListener("click", onward);
  at("overlay").addEventListener("click", cycleOverlay);
  window.addEventListener("hashchange", () => focusOn(fromHash() ?? focus));
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // the answers may have changed since
  });
  onKeys({
    o: () => choose("object"), d: () => choose("distractor"), u: () => choose("unsure"),
    ArrowRight: () => move(1), ArrowDown: () => move(1),
    ArrowLeft: () => move(-1), ArrowUp: () => move(-1),
    z: () => step("undo"), Z: () => step("redo"), y: () => step("redo"),
    m: cycleOverlay, n: onward, i: () => go("index.html"), "?": showHelp,
  });
}

async function main() {
  store = await openStore();
  setUp();
  focusOn(fromHash() ?? 0);
  store.onchange = render;
  await store.open();
  if (fromHash() === null && QUESTIONS.length && !isOpen(0)) focusOn(nextOpen() ?? 0);
  else focusOn(focus);
  document.documentElement.dataset.ready = "true";
}
main();
