// The audit: items drawn at random, one at a time, without a hint of what the models say. The server
// sends suggestion and suspicion only for items that the reviewer has decided.
import { $, WORDS, aboutRun, get, keepName, kind, look, make, percent, post, problem, say, unique, whole } from "./parts.js";
import { Picker } from "./picker.js";
import { Strokes } from "./strokes.js";

const KEYS = "1234567890";     // classes with a key of their own, where there are no more
const AHEAD = 4;               // items asked for before they are shown
const AT_MOST = 50;            // items that the page draws at once
const POLL = 4000;

let vocab = [], version = "", me = "";
let rows = [];                 // rows of the run in the random order
let stand = new Map();         // row -> open, checked, unsure, conflict or excluded
let state = null;              // what the audit says
let at = 0;                    // index of the item shown, rows.length: the result
const items = new Map();       // row -> what the server says about it
const strokes = new Strokes(() => me, answered, () => { items.clear(); reload(); });
const picker = new Picker((code) => decide("class", code));

const open = (row) => stand.get(row) === "open";
const points = (share) => `${(100 * share).toFixed(1)}%`;
const fresh = () => { const i = rows.findIndex(open); return i < 0 ? rows.length : i; };

// ---- items -------------------------------------------------------------------------------

async function fetchItems() {
  const wanted = rows.slice(at, at + AHEAD).filter((row) => !items.has(row));
  if (!wanted.length) return;
  try {
    for (const item of await get("/api/items", { me, audit: 1, rows: wanted.join(",") })) items.set(item.row, item);
  } catch { problem("The server does not answer; trying again."); setTimeout(fetchItems, 1500); return; }
  if (kind === "image") for (const row of wanted) new Image().src = `/picture/${row}?v=${version}`;
  show();
}

function show() {
  const done = rows.length - rows.filter(open).length;
  $("bar").style.width = `${(100 * done) / Math.max(1, rows.length)}%`;
  $("progress").setAttribute("aria-valuenow", Math.round((100 * done) / Math.max(1, rows.length)));
  $("count").textContent = rows.length ? `${whole(done)} of ${whole(rows.length)} checked` : "nothing drawn yet";
  const over = at >= rows.length;
  $("item").hidden = over;
  $("result").hidden = !over;
  for (const button of document.querySelectorAll("#actions button")) {
    button.disabled = over && button.dataset.action !== "undo";
  }
  if (over) result();
  else showItem(rows[at]);
}

let shown = -1;   // row on the stage
function showItem(row) {
  const item = items.get(row);
  const given = item ? vocab[item.given] : "";
  if (shown !== row || kind !== "image") $("stage").replaceChildren(look(row, "/picture", item, given, version));
  else if (item) $("stage").firstChild.alt = `${item.item}: given ${given}`;
  shown = row;
  $("given").textContent = given || "…";
  for (const button of $("classes").children) {
    button.classList.toggle("given", item !== undefined && Number(button.dataset.class) === item.given);
  }
  const mine = item?.opinion.mine;
  $("yours").textContent = mine && !open(row)
    ? `yours: ${mine[1] >= 0 ? vocab[mine[1]] : WORDS[mine[0]]}${hint(item)}` : "";
  if (!item) fetchItems();
}

// Once decided, what the models say may be seen.
const hint = (item) => (item.suggested >= 0
  ? ` · suggested: ${vocab[item.suggested]}, suspicion ${percent(item.suspicion)}` : "");

// ---- decisions ---------------------------------------------------------------------------

function decide(action, code = null) {
  const row = rows[at], item = items.get(row);
  if (row === undefined || !item) return;
  if (action === "class" && code === item.given) { action = "keep"; code = null; }
  const stroke = { stroke: unique(), action, rows: [row], audit: true };
  if (action === "class") stroke.label = code;
  stand.set(row, action === "unsure" ? "unsure" : "checked");
  items.delete(row);   // asked again when it is looked at again: the models may speak then
  say(`${action === "class" ? vocab[code] : WORDS[action]}; next`);
  const later = rows.findIndex((r, i) => i > at && open(r));
  go(later < 0 ? fresh() : later);
  strokes.add(stroke);
}

function undo() {
  say("undone");
  strokes.add({ stroke: unique(), action: "undo", audit: true });
}

function answered({ opinions }, sent) {
  for (const row of Object.keys(opinions).map(Number)) if (!strokes.rows.has(row)) items.delete(row);
  const undone = sent.some((stroke) => stroke.action === "undo");
  const row = undone ? Object.keys(opinions).map(Number).find((r) => stand.has(r)) : undefined;
  if (undone || at >= rows.length) reload(row);
}

function go(index) {
  at = Math.max(0, Math.min(rows.length, index));
  show();
  fetchItems();
  $("audit").focus({ preventScroll: true });
}

// Ask how things stand, and go to a row if one is named.
async function reload(row) {
  let found;
  try { found = await get("/api/audit"); } catch { problem("The server does not answer."); return; }
  take(found);
  if (row !== undefined && rows.includes(row)) go(rows.indexOf(row));
  else show();
}

function take(found) {
  const pending = strokes.rows;
  rows = found.rows.map(([row]) => row);
  stand = new Map(found.rows.map(([row, how]) => [row, pending.has(row) ? stand.get(row) : how]));
  state = found.state;
}

async function poll() {
  if (document.hidden || strokes.waiting) return;
  const here = rows[at];
  try { take(await get("/api/audit")); } catch { return; }
  if (here === undefined && rows.some(open)) go(fresh());
  else show();
}

// ---- what the audit says -----------------------------------------------------------------

function result() {
  const known = state && state.rate !== null;
  const left = rows.filter(open).length;
  $("figure").hidden = !known;
  if (!rows.length) {
    $("finding").textContent = "How many labels are wrong?";
    $("words").textContent = "A hundred items drawn at random and checked say it to a few points; thirty take a minute.";
    $("further").textContent = "";
  } else if (!known || strokes.waiting || left) {
    finding("Too few items are checked to say anything.");
    $("words").textContent = strokes.waiting ? "Saving…" : known ? state.text : "";
    $("further").textContent = "";
  } else {
    finding("");
    $("words").textContent = state.text;
    $("further").textContent = state.more
      ? `To know it to plus or minus ${50 * state.width} points, check about ${whole(state.more)} more.`
      : `Known to plus or minus ${50 * state.width} points: enough.`;
  }
  if (known) scale();
  const more = state ? Math.min(AT_MOST, state.items - rows.length, Math.max(30, state.more || 0)) : 0;
  $("more").hidden = more <= 0;
  $("more").textContent = rows.length ? `Draw ${more} more` : "Draw 100";
  $("more").dataset.n = rows.length ? (state?.drawn ?? 0) + more : Math.min(100, state?.items || 100);
}

function finding(unknown) {
  if (!state || state.rate === null) { $("finding").textContent = unknown; return; }
  $("finding").replaceChildren(`${points(state.rate)} still wrong`,
    make("span", {}, `between ${points(state.low)} and ${points(state.high)}`));
}

function scale() {
  const top = [0.05, 0.1, 0.2, 0.3, 0.5, 1].find((t) => t >= 1.1 * state.high) || 1;
  const place = (element, share) => { $(element).style.left = `${(100 * share) / top}%`; };
  place("range", state.low);
  $("range").style.width = `${(100 * (state.high - state.low)) / top}%`;
  place("mark", state.rate);
  place("before", Math.min(top, state.guessed));
  $("before").title = `guessed before: ${points(state.guessed)}`;
  $("from").textContent = "0%";
  $("to").textContent = `${100 * top}% of the labels`;
  $("scale").setAttribute("aria-label", `${points(state.rate)}, between ${points(state.low)} and ${points(state.high)}`);
}

$("more").addEventListener("click", async () => {
  const answer = await post("/api/audit", { n: Number($("more").dataset.n) });
  if (!answer.ok) { problem((await answer.text()).slice(0, 200)); return; }
  take(await answer.json());
  go(fresh());
});

// ---- keys and pointers -------------------------------------------------------------------

const DO = { k: "keep", Enter: "keep", " ": "keep", n: "none", u: "unsure" };
function act(action) {
  if (action === "undo") undo();
  else if (at >= rows.length) return;
  else if (action === "class") picker.open();
  else decide(action);
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, dialog") || event.altKey || event.metaKey || event.repeat) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey && key !== "z") return;
  if ((key === "Enter" || key === " ") && event.target.closest("button, a")) return;
  if (DO[key]) act(DO[key]);
  else if (key === "c") act("class");
  else if (key === "z") undo();
  else if (key === "ArrowLeft") go(at - 1);
  else if (key === "ArrowRight") go(Math.min(at + 1, fresh() === rows.length ? rows.length : rows.length - 1));
  else if (vocab.length <= KEYS.length && KEYS.indexOf(key) >= 0 && KEYS.indexOf(key) < vocab.length) decide("class", KEYS.indexOf(key));
  else return;
  event.preventDefault();
});
for (const id of ["actions", "classes"]) {
  $(id).addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.action) act(button.dataset.action);
    else decide("class", Number(button.dataset.class));
    if (!$("picker").open) $("audit").focus({ preventScroll: true });
  });
}
$("me").addEventListener("change", async () => {
  const name = $("me").value.trim();
  if (!name || name === me) { $("me").value = me; return; }
  await strokes.send();
  me = name;
  keepName(me);
  items.clear();
  show();
  fetchItems();
});

async function start() {
  const about = await aboutRun();
  ({ names: vocab, version, me } = about);
  picker.know(vocab, about.vocab);
  $("me").value = me;
  if (vocab.length <= KEYS.length) {
    document.querySelector("#actions .class").hidden = true;
    $("classes").replaceChildren(...vocab.map((name, code) =>
      make("button", { type: "button", "data-class": code }, name, make("kbd", {}, KEYS[code]))));
  }
  take(await get("/api/audit"));
  go(fresh());
  document.body.dataset.ready = "yes";
  setInterval(poll, POLL);
}

start().catch((error) => problem(`The page could not start: ${error.message}`));
