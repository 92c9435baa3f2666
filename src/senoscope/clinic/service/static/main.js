// The page's state and what keys, buttons, drops and the server's events do to it.
import * as api from "./api.js";
import { Cine } from "./cine.js";
import { byId } from "./dom.js";
import { Editor } from "./edit.js";
import { askToErase, onErase, renderList } from "./exams.js";
import { Ruler } from "./measure.js";
import { renderPanel } from "./panel.js";
import { Stage } from "./stage.js";

const root = document.documentElement;
const stage = new Stage();
const editor = new Editor(stage, say);
const ruler = new Ruler(stage, say);
const view = { exam: null, image: null, selected: 0, exams: [], next: null, admin: false };
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

const cine = new Cine(stage, showFrame, guarded);

// Exams

const refreshList = guarded(async (older = false) => {
  const page = await api.listExams(older ? view.next : null);
  view.exams = older ? [...view.exams, ...page.exams] : page.exams;
  view.next = page.next;
  renderList(view, act);
});

const openExam = guarded(async (id, number = 1, frame = null) => {
  leaveModes();
  view.selected = 0;
  await load(id, number, frame);
  for (const button of byId("list").querySelectorAll("button")) button.setAttribute("aria-current", String(button.dataset.exam === id));
});

async function load(id, number, frame = null) {
  const exam = await api.getExam(id);
  view.exam = exam;
  root.classList.add("has-exam");
  view.image = exam.images.find((image) => image.number === number) ?? exam.images[0];
  cine.open(exam, view.image);
  if (!cine.active || frame === null || frame === view.image.frame) return show();
  view.image = { ...view.image, frame };
  return cine.go(frame);
}

async function show() {
  const image = view.image;
  const key = image.cine ? `${view.exam.id}/${image.number}` : null;
  location.replace(`#${view.exam.id}/${image.number}${image.cine ? `/${image.frame}` : ""}`);
  ruler.spacing = image.spacing_mm;
  stage.selected = view.selected;
  renderPanel({ ...view, editing: editor.active }, act);
  byId("cine").inert = editor.active;
  await stage.show(image, key);
  if (view.image === image && image.status !== "waiting") root.dataset.drawn = `${view.exam.id}/${image.number}${image.cine ? `/${image.frame}` : ""}`;
}

// A frame of the loop: while it plays only its picture and outlines are drawn, afterwards all is said of it.
async function showFrame(image, passing) {
  if (view.image.frame !== image.frame) view.selected = 0;
  view.image = image;
  if (!passing) return show();
  stage.selected = 0;
  await stage.show(image, `${view.exam.id}/${image.number}`);
}

function closeExam() {
  leaveModes();
  view.exam = view.image = null;
  cine.close();
  root.classList.remove("has-exam");
  delete root.dataset.drawn;
  location.replace("#");
  renderPanel(view, act);
  stage.show({ picture: null, size: null, findings: [] });
}

const changed = guarded(async (id) => {
  soonList();
  if (id !== view.exam?.id || editor.active || cine.playing) return;
  try {
    await load(id, view.image.number, view.image.frame);
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    closeExam();
    say("The exam was deleted.");
  }
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
  open: (id) => openExam(id),
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
    await load(view.exam.id, view.image.number, view.image.frame);
  }),
  edit(index) {
    cine.pause();
    byId("cine").inert = true;
    view.selected = index;
    stage.select(index);
    editor.start(view.image.findings[index].contour);
    renderPanel({ ...view, editing: true }, act);
    stage.element.focus();
  },
  async save() {
    const contour = editor.stop();
    byId("cine").inert = false;
    await act.review(view.selected, "edit", contour);
    renderPanel({ ...view, editing: false }, act);
    stage.element.focus();
  },
  erase: (id) => askToErase(view.exams.find((exam) => exam.id === id) ?? { id }),
  cancel() {
    editor.stop();
    byId("cine").inert = false;
    renderPanel({ ...view, editing: false }, act);
    stage.element.focus();
  },
};

function leaveModes() {
  if (editor.active) editor.stop();
  setMeasure(false);
}

onErase(guarded(async (id) => {
  await api.erase(id);
  say("Deleted.");
  if (id === view.exam?.id) closeExam();
  await refreshList();
  byId("list").querySelector("button")?.focus();
}));

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
const onLoop = (run) => () => { if (cine.active) guarded(run)(); };
const onFinding = (run) => () => { if (cine.playing) return; if (view.image?.findings?.[view.selected] && !root.classList.contains("ai-off")) run(view.selected); };

const KEYS = {
  a: toggleAi, h: toggleHeat, t: toggleTheme, r: reset, m: () => setMeasure(!ruler.active), "?": () => byId("keys").showModal(),
  j: () => step(1), k: () => step(-1), "]": () => finding(1), "[": () => finding(-1),
  y: onFinding((index) => act.review(index, "accept")), x: onFinding((index) => act.review(index, "reject")), e: onFinding((index) => act.edit(index)),
  " ": onLoop(() => cine.toggle()), ",": onLoop(() => cine.step(-1)), ".": onLoop(() => cine.step(1)), g: onLoop(() => cine.key()),
  n: onLoop(() => cine.jump(1)), p: onLoop(() => cine.jump(-1)),
  "+": () => stage.zoom(1.3), "=": () => stage.zoom(1.3), "-": () => stage.zoom(1 / 1.3), 0: () => stage.fit(),
};
const OWN = /^(Arrow|Home$|End$|Page)/; // of the frame slider
const PANS = { ArrowLeft: [-60, 0], ArrowRight: [60, 0], ArrowUp: [0, -60], ArrowDown: [0, 60] };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input:not(#frame), textarea, select, dialog")) return;
  if (event.target.id === "frame" && OWN.test(event.key)) return;
  const onButton = event.target.closest?.("button, a");
  if (onButton && event.key === " ") return;
  let used = true;
  if (event.key === "Escape") { if (editor.active) act.cancel(); else setMeasure(false); }
  else if (editor.active && event.key === "Enter" && !onButton) act.save();
  else if (editor.active && !(onButton && event.key === "Enter")) used = editor.key(event);
  else if (ruler.active && !onButton && ruler.key(event)) used = true;
  else if (event.key === "Delete" && view.admin && event.target.dataset?.exam) act.erase(event.target.dataset.exam);
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
  view.admin = found.user.role === "admin";
  byId("toggle-heat").disabled = !found.model.gives.includes("class_map");
  await refreshList();
  api.listen(changed);
  const [id, number, frame] = location.hash.slice(1).split("/");
  if (/^[0-9a-f]{32}$/.test(id)) await openExam(id, Number(number) || 1, Number(frame) || null);
});

// Should an event be missed, ask once a second for an exam that still waits. How far loops have come is not an event.
setInterval(() => {
  if (view.exam?.state === "waiting") changed(view.exam.id);
  else if (view.exams.some((exam) => exam.progress)) soonList();
}, 1000);
begin();
