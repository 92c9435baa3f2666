// The page's state and what keys, buttons, drops and the server's events do to it.
import * as api from "./api.js";
import { byId, el } from "./dom.js";
import { Editor } from "./edit.js";
import { Ruler } from "./measure.js";
import { renderPanel } from "./panel.js";
import { Stage } from "./stage.js";

const root = document.documentElement;
const stage = new Stage();
const editor = new Editor(stage, say);
const ruler = new Ruler(stage, say);
const view = { exam: null, image: null, selected: 0, exams: [], next: null };
let quiet = 0;

function say(text, alert = false) {
  const line = byId("say");
  line.textContent = text;
  line.classList.toggle("alert", alert);
  clearTimeout(quiet);
  quiet = setTimeout(() => { line.textContent = ""; }, alert ? 9000 : 4000);
}

const guarded = (work) => async (...given) => {
  try {
    return await work(...given);
  } catch (problem) {
    if (problem.status === 401) askForToken();
    else say(problem.message || "The server cannot be reached.", true);
  }
};

// Exams

const refreshList = guarded(async (older = false) => {
  const page = await api.listExams(older ? view.next : null);
  view.exams = older ? [...view.exams, ...page.exams] : page.exams;
  view.next = page.next;
  const held = document.activeElement?.dataset?.exam;
  byId("list").replaceChildren(...view.exams.map((exam) => el("li", {},
    el("button", { type: "button", "data-exam": exam.id, "aria-current": String(exam.id === view.exam?.id), onclick: () => openExam(exam.id) },
      el("span", { class: "name" }, exam.name || "Exam"),
      el("span", { class: "when" }, `${new Date(exam.created).toLocaleString()} · ${exam.images}`),
      el("span", { class: `chip ${exam.state}` }, exam.state)))));
  byId("more").hidden = !page.next;
  if (held) document.querySelector(`[data-exam="${held}"]`)?.focus();
});

const openExam = guarded(async (id, number = 1) => {
  leaveModes();
  view.selected = 0;
  await load(id, number);
  for (const button of byId("list").querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.exam === id));
});

async function load(id, number) {
  const exam = await api.getExam(id);
  view.exam = exam;
  root.classList.add("has-exam");
  view.image = exam.images.find((image) => image.number === number) ?? exam.images[0];
  location.hash = `${id}/${view.image.number}`;
  await show();
}

async function show() {
  const image = view.image;
  ruler.spacing = image.spacing_mm;
  stage.selected = view.selected;
  renderPanel({ ...view, editing: editor.active }, act);
  await stage.show(image);
  if (view.image === image && image.status !== "waiting") root.dataset.drawn = `${view.exam.id}/${image.number}`;
}

const changed = guarded(async (id) => {
  soonList();
  if (id === view.exam?.id && !editor.active) await load(id, view.image.number);
});

let listTimer = 0;
function soonList() {
  clearTimeout(listTimer);
  listTimer = setTimeout(refreshList, 150);
}

const send = guarded(async (files) => {
  if (!files.length) return;
  say(`Sending ${files.length} image${files.length > 1 ? "s" : ""} …`);
  const made = await api.upload(files, (seconds) => say(`The server is busy; trying again in ${seconds} s.`));
  say("Received. It is being analysed.");
  soonList();
  await openExam(made.id);
});

// Reviews

const act = {
  openImage: (number) => openExam(view.exam.id, number),
  select(index) {
    if (editor.active || index === view.selected) return;
    view.selected = index;
    stage.select(index);
    renderPanel({ ...view, editing: false }, act);
  },
  review: guarded(async (index, action, contour) => {
    const finding = view.image.findings[index];
    const body = { action, version: finding.version, ...(contour && { contour }) };
    const made = await api.review(view.exam.id, view.image.number, finding.number, body);
    view.selected = index;
    say(`Finding ${index + 1} ${made.review}.`);
    await load(view.exam.id, view.image.number);
  }),
  edit(index) {
    view.selected = index;
    stage.select(index);
    editor.start(view.image.findings[index].contour);
    renderPanel({ ...view, editing: true }, act);
    stage.element.focus();
  },
  async save() {
    const contour = editor.stop();
    await act.review(view.selected, "edit", contour);
    renderPanel({ ...view, editing: false }, act);
    stage.element.focus();
  },
  cancel() {
    editor.stop();
    renderPanel({ ...view, editing: false }, act);
    stage.element.focus();
  },
};

function leaveModes() {
  if (editor.active) editor.stop();
  setMeasure(false);
}

// View

function toggle(name, id, pressed) {
  const on = root.classList.toggle(name);
  byId(id).setAttribute("aria-pressed", String(pressed(on)));
  return on;
}
const toggleAi = () => { const off = toggle("ai-off", "toggle-ai", (on) => !on); say(off ? "The AI is hidden." : "The AI is shown."); };
const toggleHeat = () => stage.showHeat(toggle("heat-on", "toggle-heat", (on) => on));
function setMeasure(on) { byId("measure").setAttribute("aria-pressed", String(ruler.toggle(on))); }
function toggleTheme() {
  const light = root.classList.contains("light") || (!root.classList.contains("dark") && matchMedia("(prefers-color-scheme: light)").matches);
  root.classList.toggle("light", !light);
  root.classList.toggle("dark", light);
}
function sliders() {
  stage.setWindow(Number(byId("window-width").value), Number(byId("level").value));
  stage.setOpacity(byId("opacity").value);
}
function reset() {
  for (const [id, value] of [["opacity", 1], ["window-width", 1], ["level", 0.5]]) byId(id).value = value;
  sliders();
}

function step(by) {
  if (!view.exam) return view.exams.length && openExam(view.exams[0].id);
  const number = view.image.number + by;
  if (view.exam.images.some((image) => image.number === number)) return openExam(view.exam.id, number);
  const index = view.exams.findIndex((exam) => exam.id === view.exam.id) + by;
  if (view.exams[index]) return openExam(view.exams[index].id, by < 0 ? view.exams[index].images : 1);
}

function finding(by) {
  const count = view.image?.findings?.length ?? 0;
  if (!count) return;
  act.select((view.selected + by + count) % count);
  say(`Finding ${view.selected + 1} of ${count}.`);
}
const onFinding = (run) => () => { if (view.image?.findings?.[view.selected] && !root.classList.contains("ai-off")) run(view.selected); };

const KEYS = {
  a: toggleAi, h: toggleHeat, t: toggleTheme, r: reset, m: () => setMeasure(!ruler.active), "?": () => byId("keys").showModal(),
  j: () => step(1), k: () => step(-1), "]": () => finding(1), "[": () => finding(-1),
  y: onFinding((index) => act.review(index, "accept")), x: onFinding((index) => act.review(index, "reject")), e: onFinding((index) => act.edit(index)),
  "+": () => stage.zoom(1.3), "=": () => stage.zoom(1.3), "-": () => stage.zoom(1 / 1.3), 0: () => stage.fit(),
};
const PANS = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog")) return;
  const onButton = event.target.closest?.("button, a");
  let used = true;
  if (event.key === "Escape") { if (editor.active) act.cancel(); else setMeasure(false); }
  else if (editor.active && event.key === "Enter" && !onButton) act.save();
  else if (editor.active && !(onButton && event.key === "Enter")) used = editor.key(event);
  else if (ruler.active && !onButton && ruler.key(event)) used = true;
  else if (event.target === stage.element && PANS[event.key]) stage.pan(...PANS[event.key]);
  else if (KEYS[event.key.toLowerCase()]) KEYS[event.key.toLowerCase()]();
  else used = false;
  if (used) event.preventDefault();
});

for (const [id, run] of [["toggle-ai", toggleAi], ["toggle-heat", toggleHeat], ["theme", toggleTheme], ["fit", () => stage.fit()], ["reset", reset],
  ["measure", () => setMeasure(!ruler.active)], ["help", () => byId("keys").showModal()], ["more", () => refreshList(true)]]) byId(id).addEventListener("click", run);
for (const id of ["opacity", "window-width", "level"]) byId(id).addEventListener("input", sliders);
byId("files").addEventListener("change", (event) => { send([...event.target.files]); event.target.value = ""; });

let depth = 0;
addEventListener("dragenter", (event) => { event.preventDefault(); depth += 1; root.classList.add("dragging"); });
addEventListener("dragleave", () => { depth -= 1; if (depth <= 0) root.classList.remove("dragging"); });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  root.classList.remove("dragging");
  send([...event.dataTransfer.files]);
});

// Beginning

function askForToken() {
  if (!byId("login").open) byId("login").showModal();
}
byId("login").querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await api.logIn(byId("token").value.trim());
    byId("token").value = byId("login-error").textContent = "";
    byId("login").close();
    begin();
  } catch (problem) {
    byId("login-error").textContent = problem.message;
  }
});

const begin = guarded(async () => {
  const found = await api.session();
  if (!found.user) return askForToken();
  byId("toggle-heat").disabled = !found.model.gives.includes("class_map");
  await refreshList();
  api.listen(changed);
  const [id, number] = location.hash.slice(1).split("/");
  if (/^[0-9a-f]{32}$/.test(id)) await openExam(id, Number(number) || 1);
});

// Should an event be missed, ask once a second for an exam that still waits.
setInterval(() => { if (view.exam?.state === "waiting") changed(view.exam.id); }, 1000);
begin();
