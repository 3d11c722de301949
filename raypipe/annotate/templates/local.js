// Answers of a page that nobody serves: kept in this browser, by the clustering they are about.
//
// The log is what was done, in order; what stands is its replay. So undo takes the last entry off
// the end, redo puts it back, and both survive a reload. It is read anew for every change: other
// tabs write it too.
const FORGETFUL = "This browser keeps no data for this page: answers are lost when you leave it. " +
  "Download the CSV before you go on.";

class LocalStore {
  constructor() {
    this.name = `raypipe:${DATA.run}:log`;
    this.unsaved = 0; // answers that leaving the page loses: those in memory alone
    this.onchange = () => {};
    this.onproblem = () => {};
    this.refresh();
    window.addEventListener("storage", () => {
      this.refresh();
      this.onchange();
    });
  }

  async open() {}

  async settled() {}

  refresh() {
    this.log = recall(this.name, { past: [], future: [] });
    this.answers = new Map(); // by key, in the order in which they were given
    for (const entry of this.log.past) {
      this.answers.delete(keyOf(entry));
      this.answers.set(keyOf(entry), entry);
    }
    const entries = [...this.answers.values()];
    this.summary = {
      answered: entries.filter((entry) => !entry.override).length,
      questions: DATA.total,
      seconds: median(entries.map((entry) => entry.seconds)),
      canUndo: this.log.past.length > 0,
      canRedo: this.log.future.length > 0,
    };
  }

  write(log) {
    keep(this.name, log);
    this.unsaved = keeping ? 0 : this.unsaved + 1;
    if (!keeping) this.onproblem(FORGETFUL);
    this.refresh();
    this.onchange();
  }

  // The next page by expected gain that is not done, as far as this browser has seen the pages.
  get next() {
    const pages = recall(`raypipe:${DATA.run}:pages`, {});
    let page = DATA.next;
    const seen = new Set();
    while (page && pages[page]?.done && !seen.has(page)) {
      seen.add(page);
      page = pages[page].next;
    }
    return page;
  }

  // Tell the pages before this one where to go when this one is done.
  mark(done) {
    const name = `raypipe:${DATA.run}:pages`;
    const pages = recall(name, {});
    if (pages[DATA.page]?.done === done) return;
    keep(name, { ...pages, [DATA.page]: { next: DATA.next, done } });
  }

  answer(question, verdict, seconds) {
    this.refresh();
    const { class: owner, cluster, membership } = question;
    const override = Boolean(question.group);
    const entry = { class: owner, cluster, membership, verdict, seconds, override, page: DATA.page };
    this.write({ past: [...this.log.past, entry], future: [] });
  }

  async undo() {
    this.refresh();
    const { past, future } = this.log;
    if (!past.length) return null;
    const entry = past.at(-1);
    this.write({ past: past.slice(0, -1), future: [...future, entry] });
    return this.now(entry);
  }

  async redo() {
    this.refresh();
    const { past, future } = this.log;
    if (!future.length) return null;
    const entry = future.at(-1);
    this.write({ past: [...past, entry], future: future.slice(0, -1) });
    return this.now(entry);
  }

  now(entry) {
    return { ...entry, verdict: this.answers.get(keyOf(entry))?.verdict ?? null };
  }
}
