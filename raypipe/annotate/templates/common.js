// What pages of classes and the index share: name, CSV, messages, help, keys.
const at = (id) => document.getElementById(id);
document.documentElement.classList.add("js");

// -- name of the annotator ------------------------------------------------------------------

function annotator() {
  return recall("raypipe:name", "");
}

// Return the name, asking for it where answers are saved under it.
async function named() {
  if (!API || annotator()) return annotator();
  const dialog = at("who");
  while (!annotator()) {
    dialog.showModal();
    await new Promise((done) => {
      dialog.addEventListener("close", done, { once: true });
    });
    keep("raypipe:name", at("who-name").value.trim());
  }
  return annotator();
}

function setUpName() {
  const field = at("annotator");
  field.value = annotator();
  field.addEventListener("change", () => {
    const name = field.value.trim();
    if (API && !name) {
      field.value = annotator();
      return;
    }
    keep("raypipe:name", name);
    if (API) location.reload(); // another annotator has other answers
  });
}

// Whether the next page is one of ours: it sends what this one could not.
let moving = false;

function go(page, cluster) {
  moving = true;
  location.assign(encodeURIComponent(page) + (cluster ? `#cluster-${cluster}` : ""));
}

async function openStore() {
  const store = API ? new ServedStore(await named()) : new LocalStore();
  at("annotator").value = annotator();
  store.onproblem = notice;
  window.addEventListener("beforeunload", (event) => {
    if (store.unsaved && !(moving && keeping)) event.preventDefault();
  });
  if (!API && !keeping) notice(FORGETFUL);
  return store;
}

// -- CSV ------------------------------------------------------------------------------------

// As `csvfile.protected`: no spreadsheet runs a cell as a formula or rewrites it as a number.
const RISKY = /^(?:[=+\-@\t\r']|[ \n\v\f]*(?:(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?|nan|inf(?:inity)?)[ \t\n\v\f\r]*$)/i;

function cell(value) {
  return `"${String(value).replaceAll('"', '""')}"`;
}

function guarded(text) {
  return cell(RISKY.test(text) ? `'${text}` : text);
}

function csv(answers, name) {
  const rows = [["class", "cluster", "verdict", "annotator", "seconds", "note", "membership"].join()];
  for (const answer of answers) {
    const seconds = answer.seconds == null ? "" : answer.seconds.toFixed(2);
    rows.push([
      guarded(answer.class), answer.cluster, answer.verdict, guarded(name), seconds, '""',
      guarded(answer.membership),
    ].join());
  }
  return rows.join("\n") + "\n";
}

function download(store) {
  const link = document.createElement("a");
  const blob = new Blob([csv(store.answers.values(), annotator())], { type: "text/csv" });
  link.href = URL.createObjectURL(blob);
  link.download = "answers.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  if (!API) store.unsaved = 0;
}

// -- messages -------------------------------------------------------------------------------

function notice(text, reload = false) {
  at("notice-text").textContent = text;
  at("notice").hidden = !text;
  at("reload").hidden = !reload || !text;
}

function showProgress({ answered, questions, seconds }, where = "") {
  const pace = seconds === null ? "" : ` · ${seconds.toFixed(1)} s each`;
  at("progress").textContent = `${answered.toLocaleString("en")} of ` +
    `${questions.toLocaleString("en")} answered${where}${pace}`;
  at("meter").value = answered;
  at("meter").max = Math.max(1, questions);
}

// -- keys and buttons -----------------------------------------------------------------------

function onKeys(actions) {
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=checkbox]), select, textarea");
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    if (document.querySelector("dialog[open]")) return;
    const action = Object.hasOwn(actions, event.key) && actions[event.key];
    if (!action) return;
    event.preventDefault();
    if (!event.repeat) action(); // a key that is held down answers once
  });
}

function setUpCommon(store) {
  setUpName();
  at("download").addEventListener("click", () => download(store));
  at("help").addEventListener("click", showHelp);
  at("close-help").addEventListener("click", () => at("keys").close());
  at("reload").addEventListener("click", () => location.reload());
}

function showHelp() {
  at("keys").showModal();
}
