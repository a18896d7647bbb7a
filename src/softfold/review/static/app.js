// The review page. Whatever comes from the data is put in with textContent, never as markup.
import { Grid } from "./grid.js";
import { $, WORDS, aboutRun, get as fetchJson, keepName, kind, look as lookOf, make, percent, problem, say, unique, whole } from "./parts.js";
import { Picker } from "./picker.js";
import { Strokes } from "./strokes.js";

const yesOrNo = document.body.dataset.ask === "class";   // whether an item has a class
const FIELDS = ["state", ...(yesOrNo ? ["class"] : []), "given", "suggested", "least", "reviewer", "similar"];
const POLL = 4000;

let vocab = [];
let version = "";
let me = "";
let rows = [];           // rows of the run in the order shown
let place = new Map();   // row -> index in `rows`
let groups = null;       // group of each index, where similar items are together
let total = 0;
let at = 0;              // index of the item in focus
let one = false;         // one at a time instead of the grid
let last = 0;            // last log entry known
const chosen = new Set();    // rows selected
const items = new Map();     // row -> what the server says about it
const wanted = new Set();    // rows asked for
const strokes = new Strokes(() => me, answered, () => { items.clear(); grid.show(true); });
const picker = new Picker((code) => decide("class", code));

const grid = new Grid($("grid"), $("cards"), card, () =>
  kind === "image"
    ? { least: 150, height: (w) => w + 66 }
    : { least: 250, height: () => 196 });
const question = (item) => `${kind === "image" ? "Does it show" : "Does it have"} ${item.class}?`;

const label = (code) => (code >= 0 && code < vocab.length ? vocab[code] : "");
const get = (path, values = {}) => fetchJson(path, { me, ...values });

// ---- items -------------------------------------------------------------------------------

let asking = false;
function ask(row) {
  if (items.has(row) || wanted.has(row)) return;
  wanted.add(row);
  if (asking) return;
  asking = true;
  setTimeout(async () => {
    asking = false;
    const batch = [...wanted].filter((r) => !items.has(r)).slice(0, 200);
    try {
      for (const item of batch.length ? await get("/api/items", { rows: batch.join(",") }) : []) {
        items.set(item.row, item);
        wanted.delete(item.row);
        refresh(item.row);
      }
    } catch {
      batch.forEach((r) => wanted.delete(r));
      problem("The server does not answer; trying again.");
      setTimeout(() => { grid.show(true); }, 1500);
      return;
    }
    if (wanted.size) { const next = wanted.values().next().value; wanted.delete(next); ask(next); }
  }, 15);
}

function refresh(row) {
  const index = place.get(row);
  if (index === undefined) return;
  grid.redraw(index);
  if (one && (index === at || row === rows[at])) showOne();
}

const look = (row, path) => {
  const item = items.get(row);
  return lookOf(row, path, item, item ? label(item.given) : "", version);
};

function verdict(opinion) {
  if (!opinion || opinion.state === "open") return null;
  if (opinion.state === "conflict") return make("span", { class: "badge conflict" }, "conflict");
  if (!opinion.mine) return make("span", { class: "badge seen" }, "seen by another");
  const [action, code] = opinion.mine;
  const text = action === "class" || action === "accept" ? `→ ${label(code)}` : WORDS[action];
  return make("span", { class: `badge ${action}${opinion.saving ? " saving" : ""}` }, text);
}

function card(index) {
  const row = rows[index];
  const item = items.get(row);
  const classes = ["card"];
  if (index === at) classes.push("focus");
  if (chosen.has(row)) classes.push("chosen");
  if (item && item.opinion.mine) classes.push("done");
  if (groups) {
    classes.push(groups[index] === groups[index - 1] ? "joined" : "leads");
  }
  const element = make("div", {
    class: classes.join(" "), role: "option", id: `item-${index}`, "data-index": index,
    "aria-selected": String(chosen.has(row)), "aria-setsize": rows.length, "aria-posinset": index + 1,
  });
  element.append(make("div", { class: "frame" }, look(row, "/thumbnail")));
  if (!item) { ask(row); return element; }
  const size = groups ? together(index).length : 1;
  element.setAttribute("aria-label",
    `${item.item}, ${yesOrNo ? `${question(item)} ` : ""}given ${label(item.given)}, suggested ${label(item.suggested)}, ` +
    `suspicion ${percent(item.suspicion)}, ${item.opinion.state}`);
  element.append(make("div", { class: "facts" },
    make("span", { class: "given", title: told(item, item.given) }, told(item, item.given)),
    make("span", { class: "soft", title: label(item.suggested) }, label(item.suggested)),
    make("span", { class: "suspicion" }, percent(item.suspicion)),
    size > 1 && groups[index] !== groups[index - 1] ? make("span", { class: "size" }, `${size} alike`) : null));
  const badge = verdict(item.opinion);
  if (badge) {
    element.append(badge);
    element.classList.add("marked");
  }
  return element;
}

// A label, with the class that it answers.
function told(item, code) { return yesOrNo ? `${item.class}: ${label(code)}` : label(code); }

// Indices of the group of similar items around an index.
function together(index) {
  if (!groups) return [index];
  let first = index, end = index + 1;
  while (first > 0 && groups[first - 1] === groups[index]) first--;
  while (end < rows.length && groups[end] === groups[index]) end++;
  return Array.from({ length: end - first }, (_, i) => first + i);
}

// ---- lists and filters -------------------------------------------------------------------

let turn = 0;   // of several lists asked for in a hurry only the last one counts
async function list(keep = null) {
  const mine = ++turn;
  const values = {};
  for (const field of FIELDS) {
    const input = $(field);
    const value = input.type === "checkbox" ? (input.checked ? "1" : "") : input.value;
    if (value && value !== "any" && !(field === "least" && value === "0")) values[field] = field === "least" ? Number(value) / 100 : value;
  }
  const query = new URLSearchParams(values);
  history.replaceState(null, "", query.size ? `?${query}` : "/");
  const found = await get("/api/list", values);
  if (mine !== turn) return;
  ({ rows, total, groups } = found);
  place = new Map(rows.map((row, index) => [row, index]));
  chosen.clear();
  at = keep !== null && place.has(keep) ? place.get(keep) : 0;
  const cut = total > rows.length ? ` (the first ${rows.length.toLocaleString("en")} shown)` : "";
  $("count").textContent = `${total.toLocaleString("en")} ${yesOrNo ? "label" : "item"}${total === 1 ? "" : "s"}${cut}`;
  $("empty").hidden = rows.length > 0;
  grid.fill(rows.length);
  if (rows.length) focusOn(at);
  else if (one) toggle(false);
  tell();
}

function restore() {
  const query = new URLSearchParams(location.search);
  for (const field of FIELDS) {
    const value = query.get(field);
    if (value === null) continue;
    if ($(field).type === "checkbox") $(field).checked = value === "1";
    else $(field).value = field === "least" ? Math.round(100 * Number(value)) : value;
  }
}

// ---- focus, views ------------------------------------------------------------------------

function focusOn(index) {
  if (!rows.length) return;
  const before = at;
  at = Math.min(rows.length - 1, Math.max(0, index));
  if (!one) grid.reveal(at);
  grid.redraw(before);
  grid.redraw(at);
  $("grid").setAttribute("aria-activedescendant", `item-${at}`);
  if (one) showOne();
}

function next(from) {
  for (let index = from + 1; index < rows.length; index++) {
    const item = items.get(rows[index]);
    if (!item || !item.opinion.mine) return index;
  }
  return Math.min(from + 1, rows.length - 1);
}

function toggle(value = !one) {
  one = value && rows.length > 0;
  $("one").hidden = !one;
  $("grid").hidden = one;
  $("view").firstChild.textContent = one ? "Grid" : "One at a time";
  if (one) showOne();
  else { grid.measure(); grid.show(true); grid.reveal(at); $("grid").focus({ preventScroll: true }); }
}

let shown = -1;   // row that the one-at-a-time view shows
function showOne() {
  const row = rows[at];
  const item = items.get(row);
  if (shown !== row || kind !== "image") $("stage").replaceChildren(look(row, "/picture"));
  if (!item) { ask(row); shown = -1; return; }
  $("asked").hidden = !yesOrNo;
  if (yesOrNo) $("asked").textContent = question(item);
  $("labels").replaceChildren(
    make("dt", {}, "given"), make("dd", { class: "given" }, label(item.given)),
    make("dt", {}, yesOrNo ? "the model" : "suggested"), make("dd", { class: "soft" }, label(item.suggested)),
    make("dt", {}, "suspicion"), make("dd", {}, percent(item.suspicion)),
    make("dt", {}, "yours"), make("dd", { id: "mine" }, verdict(item.opinion) || "not reviewed"));
  $("classes").replaceChildren(...item.top.map(([code, share], i) => {
    const bar = make("i", {});
    bar.style.width = `${100 * share}%`;
    const which = code === item.given ? "given" : code === item.suggested ? "soft" : "";
    return make("tr", { class: which }, make("td", {}, make("kbd", {}, yesOrNo ? label(code)[0] : String(i + 1))),
      make("th", { scope: "row" }, label(code)), make("td", { class: "number" }, percent(share)),
      make("td", { class: "bar" }, bar));
  }));
  $("sides").replaceChildren(...item.opinion.sides.filter(([who]) => who !== me).map(
    ([who, action, code]) => make("p", {}, `${who}: ${code < 0 ? WORDS[action] : label(code)}`)));
  $("key").textContent = `${item.item} · ${at + 1} of ${rows.length.toLocaleString("en")}`;
  for (const ahead of [1, 2]) {
    const then = rows[at + ahead];
    if (then === undefined) continue;
    ask(then);
    if (kind === "image") new Image().src = `/picture/${then}?v=${version}`;
  }
  if (shown !== row) { shown = row; strip(row); }
}

let alike = [];   // rows of the strip beside the item in the one-at-a-time view
async function strip(row) {
  alike = [];
  $("alike").hidden = true;
  $("all").checked = false;
  let found;
  try { found = await get(`/api/group/${row}`); } catch { return; }
  if (rows[at] !== row || found.length < 2) return;
  alike = found;
  $("alike").hidden = false;
  $("similar-title").replaceChildren(`decide all ${found.length} at once`, make("kbd", {}, "Shift"));
  found.slice(1).forEach(ask);
  $("strip").replaceChildren(...found.slice(0, 24).map((r) => make("li", {}, look(r, "/thumbnail"))));
}

// ---- decisions ---------------------------------------------------------------------------

function decide(action, code = null, group = false) {
  if (!rows.length) return;
  let targets = chosen.size && !one ? [...chosen] : [rows[at]];
  if (group || (one && $("all").checked)) {
    // The group's items that are decided already stay as they are.
    const others = one ? alike : together(at).map((i) => rows[i]);
    targets = others.filter((row) => row === rows[at] || !items.get(row)?.opinion.mine);
    if (!targets.length) targets = [rows[at]];
  }
  const stroke = { stroke: unique(), action, rows: targets };
  if (action === "class") stroke.label = code;
  for (const row of targets) {
    const item = items.get(row);
    if (!item) continue;
    const final = action === "class" ? code : action === "accept" ? item.suggested : action === "keep" ? item.given : -1;
    item.opinion = { ...item.opinion, mine: [action, final], state: "saving", saving: true };
  }
  const after = Math.max(...targets.map((row) => place.get(row) ?? at));
  chosen.clear();
  targets.forEach(refresh);
  say(`${targets.length > 1 ? `${targets.length} items ` : ""}${WORDS[action]}${code === null ? "" : ` ${label(code)}`}`);
  focusOn(next(targets.length > 1 ? after : at));
  tell();
  strokes.add(stroke);
}

function undo() {
  say("undone");
  strokes.add({ stroke: unique(), action: "undo" });
}

function answered({ opinions, progress }, sent) {
  take(opinions);
  count(progress);
  if (sent.length === 1 && sent[0].action === "undo") {
    const back = Object.keys(opinions).map(Number).map((row) => place.get(row)).filter((i) => i !== undefined);
    if (back.length) focusOn(Math.min(...back));
  }
}

function take(opinions) {
  const pending = strokes.rows;
  for (const [key, opinion] of Object.entries(opinions)) {
    const row = Number(key);
    if (pending.has(row) || !items.has(row)) continue;
    items.get(row).opinion = opinion;
    refresh(row);
  }
}

function count(p, agreement) {
  last = Math.max(last, p.last);
  const share = Math.min(100, (100 * p.wrong) / Math.max(1, p.wrong + p.still));
  $("bar").style.width = `${share}%`;
  $("progress").setAttribute("aria-valuenow", Math.round(share));
  const n = whole;
  const between = p.still_between ? ` (${n(p.still_between[0])} to ${n(p.still_between[1])}, by the audit)` : "";
  const parts = [[n(p.reviewed), "reviewed"], [n(p.wrong), "wrong" + (p.precision === null ? "" : ` (${percent(p.precision)})`)],
    [`≈ ${n(p.still)}`, `still wrong${between}`]];
  if (p.none_of_these) parts.push([n(p.none_of_these), "none of these"]);
  if (p.excluded) parts.push([n(p.excluded), "excluded"]);
  if (p.conflict) parts.push([n(p.conflict), p.conflict === 1 ? "conflict" : "conflicts"]);
  if (agreement) together.agreement = agreement;
  if (together.agreement) parts.push([percent(together.agreement[1]), `agreement on ${n(together.agreement[0])}`]);
  $("numbers").replaceChildren(...parts.map(([value, word]) => make("span", {}, make("b", {}, value), ` ${word}`)));
}

async function poll() {
  if (document.hidden) return;
  try {
    const found = await get("/api/changes", { after: last });
    take(found.opinions);
    count(found.progress, found.agreement);
    reviewers(found.reviewers);
    if (!strokes.waiting) problem(null);
  } catch { problem("The server does not answer."); }
}

function reviewers(names) {
  const select = $("reviewer");
  const known = new Set([...select.options].map((o) => o.value));
  for (const name of names) if (!known.has(name)) select.append(new Option(name, name));
}

function tell() {
  $("chosen").textContent = chosen.size ? `${chosen.size} selected` : "";
}
function select(index) {
  const row = rows[index];
  if (!chosen.delete(row)) chosen.add(row);
  grid.redraw(index);
  tell();
}

async function selectGroup() {
  if (!groups) {
    const row = rows[at];
    $("similar").checked = true;
    await list(row);
  }
  for (const index of together(at)) { chosen.add(rows[index]); grid.redraw(index); }
  tell();
  say(`${chosen.size} selected`);
}

function pick() {
  picker.open((items.get(rows[at])?.top || []).map(([code]) => code));
}

// ---- keys and pointers -------------------------------------------------------------------

const DO = yesOrNo
  ? { y: "yes", n: "no", a: "accept", k: "keep", u: "unsure" }
  : { a: "accept", k: "keep", n: "none", x: "exclude", u: "unsure" };
const ANSWERS = { no: 0, yes: 1 };
function act(action, group = false) {
  if (action === "undo") undo();
  else if (action === "class") pick();
  else if (action in ANSWERS) decide("class", ANSWERS[action], group);
  else decide(action, null, group);
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), select, dialog");
  if (event.key === "Escape" && event.target.closest("#filters, header")) { $("grid").focus(); return; }
  if (typing || event.altKey || event.metaKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey && key !== "z") return;
  const onButton = event.target.closest("button, a, input");
  const columns = one ? 1 : grid.columns;
  const moves = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
    PageDown: one ? 10 : grid.page, PageUp: one ? -10 : -grid.page };
  if (DO[key]) act(DO[key], event.shiftKey);
  else if (key === "c" && !yesOrNo) pick();
  else if (key === "z") undo();
  else if (key === "g") { if (!one) selectGroup(); }
  else if (key in moves) focusOn(at + moves[key]);
  else if (key === "Home") focusOn(0);
  else if (key === "End") focusOn(rows.length - 1);
  else if (key === "v") toggle();
  else if (key === "Escape") { if (chosen.size) { chosen.clear(); grid.show(true); tell(); } else toggle(false); }
  else if (key === "Enter" && !onButton) toggle();
  else if (key === " " && !onButton && !one) { select(at); focusOn(at + 1); }
  else if (key === "f" || key === "/") $("state").focus();
  else if (key === "?") $("help").showModal();
  else if (one && !yesOrNo && /^[1-5]$/.test(key)) {
    const top = items.get(rows[at])?.top[Number(key) - 1];
    if (top) decide("class", top[0]);
  } else return;
  event.preventDefault();
});

$("grid").addEventListener("click", (event) => {
  const index = Number(event.target.closest(".card")?.dataset.index ?? -1);
  if (index < 0) return;
  if (event.shiftKey) {
    for (let i = Math.min(at, index); i <= Math.max(at, index); i++) { chosen.add(rows[i]); grid.redraw(i); }
    tell();
  } else if (event.ctrlKey || event.metaKey) select(index);
  focusOn(index);
});
$("grid").addEventListener("dblclick", (event) => { if (event.target.closest(".card")) toggle(true); });
$("actions").addEventListener("click", (event) => {
  const action = event.target.closest("button")?.dataset.action;
  if (action) act(action);
});
$("filters").addEventListener("change", () => list(rows[at]).catch((e) => problem(e.message)));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("view").addEventListener("click", () => toggle());
$("show-help").addEventListener("click", () => $("help").showModal());
$("close-help").addEventListener("click", () => $("help").close());
$("me").addEventListener("change", async () => {
  const name = $("me").value.trim();
  if (!name || name === me) { $("me").value = me; return; }
  await strokes.send();
  me = name;
  keepName(me);
  items.clear();
  await list(rows[at]);
  poll();
});
async function start() {
  const about = await aboutRun();
  ({ names: vocab, version, me } = about);
  picker.know(vocab, about.vocab);
  $("me").value = me;
  for (const id of ["given", "suggested"]) vocab.forEach((name, code) => $(id).append(new Option(name, code)));
  about.classes.forEach((name, code) => $("class").append(new Option(name, code)));
  reviewers(about.reviewers);
  restore();
  count(about.progress, about.agreement);
  await list();
  $("grid").focus({ preventScroll: true });
  if (yesOrNo) toggle(true);
  document.body.dataset.ready = "yes";
  setInterval(poll, POLL);
}

start().catch((error) => problem(`The page could not start: ${error.message}`));
