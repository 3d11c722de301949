// The index: which classes are left, the ones worth most first.
const ITEMS = [...at("classes").children]; // in the order of the expected gain, as the data is
const GROUPS = new Map(
  DATA.classes.filter((item) => item.class === "*")
    .flatMap((item) => item.clusters.map(([number, membership, , run]) => [number, { membership, run }])),
);

// Expected gain of questions, in whatever unit: only its share of all is shown.
function worth(clusters) {
  return clusters.reduce((sum, [, , , , gain]) => sum + gain, 0);
}
const ALL = worth(DATA.classes.flatMap((item) => item.clusters));

let store = null;

// Whether a cluster is settled, itself or through its group. In a page that is not served the
// answers in the run count as well, as they were when it was made.
function settled(owner, [, membership, group, inRun], answers) {
  if (answers.has(keyOf({ class: owner, membership })) || (inRun && !API)) return true;
  if (group === null) return false;
  const shared = GROUPS.get(group);
  return answers.has(keyOf({ class: "*", membership: shared.membership })) ||
    Boolean(shared.run && !API);
}

function state(done, clusters) {
  if (!done) return "open";
  return done < clusters ? "part" : "done";
}

function render() {
  const { answers } = store;
  let start = null;
  let answered = 0;
  let gained = 0;
  DATA.classes.forEach((item, place) => {
    const done = item.clusters.filter((cluster) => settled(item.class, cluster, answers)).length;
    const own = item.clusters.filter((cluster) => cluster[2] === null);
    const left = own.some((cluster) => !settled(item.class, cluster, answers));
    const given = own.filter((cluster) => settled(item.class, cluster, answers));
    answered += given.length;
    gained += worth(given);
    if (left) start ??= item.page;
    const element = ITEMS[place];
    const now = state(done, item.clusters.length);
    element.dataset.state = now;
    element.dataset.done = String(done / Math.max(1, item.clusters.length));
    const text = element.querySelector(".state");
    text.className = `state ${now}`;
    text.textContent = now === "open" ? "not answered"
      : `${done} of ${item.clusters.length} answered`;
  });
  at("start").hidden = start === null;
  if (start !== null) at("start").href = encodeURIComponent(start);
  at("finished").hidden = start !== null;
  const share = ALL > 0 ? `, ${Math.floor((100 * gained) / ALL + 1e-6)} % of the expected gain` : "";
  showProgress({ ...store.summary, answered }, share);
  filter();
}

function filter() {
  const words = at("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const unanswered = at("unanswered").checked;
  let shown = 0;
  for (const item of ITEMS) {
    const found = words.every((word) => item.dataset.text.includes(word));
    item.hidden = !found || (unanswered && item.dataset.state === "done");
    shown += item.hidden ? 0 : 1;
  }
  at("shown").textContent = `${shown.toLocaleString("en")} shown`;
}

const ORDERS = {
  gain: () => 0,
  name: (a, b) => (a.dataset.text < b.dataset.text ? -1 : 1),
  // What was begun first, then what is open, then what is done.
  progress: (a, b) => (b.dataset.done % 1) - (a.dataset.done % 1) || a.dataset.done - b.dataset.done,
};

function sort() {
  at("classes").append(...[...ITEMS].sort(ORDERS[at("sort").value])); // a stable sort
}

async function main() {
  store = await openStore();
  setUpCommon(store);
  at("search").addEventListener("input", filter);
  at("unanswered").addEventListener("change", filter);
  at("sort").addEventListener("change", sort);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload(); // answers were given since
  });
  onKeys({
    "/": () => at("search").focus(), s: () => at("start").click(), "?": showHelp,
  });
  filter();
  store.onchange = render;
  await store.open();
  render();
  document.documentElement.dataset.ready = "true";
}
main();
