// The list of exams, and asking before one is deleted.
import { byId, el } from "./dom.js";

export function renderList(view, act) {
  const held = document.activeElement?.dataset?.exam;
  byId("list").replaceChildren(...view.exams.map((exam) => row(exam, view, act)));
  byId("more").hidden = !view.next;
  if (held) document.querySelector(`[data-exam="${held}"]`)?.focus();
}

function row(exam, view, act) {
  const come = exam.progress;
  return el("li", {},
    el("button", { type: "button", "data-exam": exam.id, "aria-current": String(exam.id === view.exam?.id), onclick: () => act.open(exam.id) },
      el("span", { class: "name" }, exam.name || "Exam"),
      el("span", { class: "when" }, `${new Date(exam.created).toLocaleString()} · ${exam.images}`),
      el("span", { class: `chip ${exam.state}` }, come ? `${come.done} / ${come.frames}` : exam.state, come && el("span", { class: "hidden" }, " frames done"))),
    view.admin && el("button", { type: "button", class: "erase", "aria-label": `Delete ${exam.name || "exam"}`, title: "Delete", onclick: () => act.erase(exam.id) }, "×"));
}

export function askToErase(exam) {
  const dialog = byId("erase");
  dialog.returnValue = "";
  dialog.dataset.id = exam.id;
  byId("erase-told").textContent = exam.created ? `${exam.name || "Exam"} · ${new Date(exam.created).toLocaleString()}` : "";
  dialog.showModal();
}

export function onErase(run) {
  byId("erase").addEventListener("close", () => { if (byId("erase").returnValue === "erase") run(byId("erase").dataset.id); });
}
