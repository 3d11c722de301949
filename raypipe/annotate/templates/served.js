// Answers of a page that `raypipe annotate` serves: the server's log of one annotator.
//
// An answer shows at once and joins a queue; the queue is sent in order, one at a time, and tried
// again until the server takes it. The queue is kept in the browser, so neither a reload nor the
// next page loses it.
class ServedStore {
  constructor(annotator) {
    this.annotator = annotator;
    this.name = `raypipe:${DATA.run}:unsent:${annotator}`;
    this.known = new Map();
    this.changed = ""; // what to say of clusters that are others now
    this.summary = { answered: 0, questions: DATA.total, seconds: null };
    this.next = DATA.next;
    this.sending = null;
    this.onchange = () => {};
    this.onproblem = () => {};
    this.delay = 500;
    this.refresh();
  }

  refresh() {
    this.queue = recall(this.name, []);
    this.unsaved = this.queue.length;
    this.answers = new Map(this.known);
    for (const answer of this.queue) this.answers.set(keyOf(answer), answer);
  }

  write(queue) {
    keep(this.name, queue);
    this.refresh();
  }

  // Another tab of this browser may send the same queue, or add to it.
  waits(answer) {
    return recall(this.name, []).some((other) => other.id === answer.id);
  }

  drop(answer) {
    this.write(recall(this.name, []).filter((other) => other.id !== answer.id));
  }

  async open() {
    await this.load();
    this.send();
  }

  async load() {
    const query = new URLSearchParams({ annotator: this.annotator });
    for (;;) {
      try {
        const reply = await fetch(`${API}state?${query}`, { cache: "no-store" });
        const state = await reply.json();
        if (!reply.ok) throw new Error(state.error ?? reply.statusText);
        this.known = new Map(state.answers.map((answer) => [keyOf(answer), answer]));
        this.take(state);
        this.refresh();
        this.onchange();
        break;
      } catch (error) {
        this.onproblem(`The server does not answer (${error.message}). Trying again…`);
        await this.pause();
      }
    }
    this.onproblem("");
  }

  mark() {}

  take(state) {
    this.delay = 500;
    this.next = state.next ? state.next.page : null;
    this.summary = {
      answered: state.answered,
      questions: state.questions,
      seconds: state.seconds,
      canUndo: state.can_undo,
      canRedo: state.can_redo,
    };
  }

  answer(question, verdict, seconds) {
    const { class: owner, cluster, membership } = question;
    const id = `${Date.now()}-${Math.random()}`;
    const answer = { id, class: owner, cluster, membership, verdict, seconds, note: "" };
    this.refresh();
    this.write([...this.queue, answer]);
    this.onchange();
    this.send();
  }

  // Send what waits; there is one sender at a time, and whoever asks waits for it.
  send() {
    this.sending ??= this.drain().finally(() => {
      this.sending = null;
    });
    return this.sending;
  }

  async drain() {
    let elsewhere = false;
    for (this.refresh(); this.unsaved; this.refresh()) {
      const [answer] = this.queue;
      try {
        const state = await this.post("answer", answer);
        this.drop(answer);
        if (state) this.known.set(keyOf(answer), answer);
        else this.refuse(answer);
        if (state) this.take(state);
        this.refresh();
        this.onchange();
        this.onproblem(this.changed, true);
      } catch (error) {
        const count = this.unsaved === 1 ? "1 answer is" : `${this.unsaved} answers are`;
        this.onproblem(`${count} not saved yet (${error.message}). Trying again…`);
        await this.pause();
        elsewhere ||= !this.waits(answer);
      }
    }
    if (elsewhere) await this.load();
  }

  refuse(answer) {
    this.changed = `Cluster ${answer.cluster} of ${answer.class} has changed since this page was ` +
      "made: your answer on it was not taken. Draw the sheets anew, then reload the page.";
  }

  // Return the server's reply, or null where the clusters are not those of this page any more.
  async post(verb, body) {
    const reply = await fetch(API + verb, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ annotator: this.annotator, ...body }),
    });
    if (reply.status === 409 || reply.status === 404) return null;
    const state = await reply.json().catch(() => ({}));
    if (!reply.ok) throw new Error(state.error ?? `status ${reply.status}`);
    return state;
  }

  // Wait, but not once this tab is looked at again, or another one has sent something.
  pause() {
    this.delay = Math.min(2 * this.delay, 10000);
    return new Promise((resume) => {
      setTimeout(resume, this.delay);
      for (const name of ["focus", "storage"]) window.addEventListener(name, resume, { once: true });
    });
  }

  async settled() {
    await this.send();
  }

  undo() {
    return this.step("undo");
  }

  redo() {
    return this.step("redo");
  }

  async step(verb) {
    await this.settled();
    let state = null;
    try {
      state = await this.post(verb, {});
    } catch (error) {
      this.onproblem(`Could not ${verb}: ${error.message}`);
      return null;
    }
    const changed = state?.changed;
    if (changed?.verdict) this.known.set(keyOf(changed), changed);
    else if (changed) this.known.delete(keyOf(changed));
    if (state) this.take(state);
    this.refresh();
    this.onchange();
    return changed ?? null;
  }
}
