// What is said beside the image: class, findings with their buttons, notes, downloads.
import { byId, el, percent, tone } from "./dom.js";

const REVIEWS = { ai: "not reviewed", accepted: "accepted", edited: "edited", rejected: "rejected" };

export function renderPanel(view, act) {
  const { exam, image, selected, editing } = view;
  const panel = byId("panel");
  const held = document.activeElement?.dataset?.act;
  panel.replaceChildren();
  if (!exam) return;
  panel.append(el("h2", {}, image.name || `Image ${image.number}`), facts(image));
  if (exam.images.length > 1) panel.append(tabs(exam, image, act));
  panel.append(el("div", { class: "ai" }, ...said(image)));
  if (image.findings?.length) {
    panel.append(el("div", { class: "ai" }, el("h3", {}, "Findings"),
      ...image.findings.map((finding, index) => card(finding, index, index === selected, editing, act))));
  }
  const remarks = [...image.reasons, ...image.notes, ...image.quality];
  if (remarks.length) panel.append(el("ul", { class: "notes ai" }, ...remarks.map((text) => el("li", {}, text))));
  if (exam.state !== "waiting") panel.append(el("h3", {}, "Take away"), downloads(exam));
  if (view.admin) panel.append(el("p", {}, el("button", { type: "button", class: "danger", "data-act": "erase", onclick: () => act.erase(exam.id) }, "Delete exam")));
  panel.append(el("p", { class: "fine" }, exam.research_use));
  if (held) panel.querySelector(`[data-act="${CSS.escape(held)}"]`)?.focus();
}

function facts(image) {
  const parts = [image.kind];
  if (image.cine) parts.push(`frame ${image.frame} of ${image.cine.frames}${image.frame === image.cine.key_frame ? " (key frame)" : ""}`);
  if (image.size) parts.push(`${image.size[0]} × ${image.size[1]} px`);
  parts.push(image.spacing_mm ? `${image.spacing_mm[1].toPrecision(3)} × ${image.spacing_mm[0].toPrecision(3)} mm per pixel` : "pixel size unknown");
  if (image.seconds) parts.push(image.seconds < 10 ? `${Math.round(1000 * image.seconds)} ms` : `${Math.round(image.seconds)} s`);
  return el("p", { class: "meta" }, parts.join(" · "));
}

function tabs(exam, image, act) {
  return el("div", { class: "images", role: "group", "aria-label": "Images of this exam" }, ...exam.images.map((each) =>
    el("button", { type: "button", "aria-pressed": String(each.number === image.number), "data-act": `image-${each.number}`, onclick: () => act.openImage(each.number) }, String(each.number))));
}

function said(image) {
  if (image.status === "waiting") return [el("p", { class: "verdict" }, el("span", { class: "chip waiting" }, "being analysed …"),
      image.progress && el("span", { class: "meta" }, `${image.progress.done} of ${image.progress.frames} frames`))];
  if (image.status !== "analysed") {
    return [el("p", { class: "verdict" }, el("span", { class: "chip withheld" }, image.status === "failed" ? "Not read" : `No score: ${image.status}`))];
  }
  const label = image.class === null ? "not classified" : image.certain ? image.class : "does not know";
  const kind = image.class === null ? "" : image.certain ? image.class : "uncertain";
  const out = [el("p", { class: "verdict" }, el("span", { class: `chip ${kind}` }, label),
    image.probabilities && el("span", { class: "score" }, el("b", {}, percent(image.probabilities.malignant)), " probability of malignancy"))];
  if (image.probabilities) out.push(bars(image.probabilities));
  if (image.findings && !image.findings.length) out.push(el("p", { class: "fine" }, "No finding is reported."));
  return out;
}

function bars(probabilities) {
  const names = Object.keys(probabilities).reverse();
  return el("div", { class: "bars", role: "list", "aria-label": "Class probabilities" }, ...names.map((name) => {
    const bar = el("i", { class: name });
    bar.style.width = `${(100 * probabilities[name]).toFixed(1)}%`;
    return el("div", { role: "listitem" }, el("span", { class: "label" }, name), el("span", { class: "track" }, bar), el("span", { class: "value" }, percent(probabilities[name])));
  }));
}

function card(finding, index, selected, editing, act) {
  const button = (name, key, text, run) =>
    el("button", { type: "button", "data-act": `${name}-${index}`, "aria-keyshortcuts": key, onclick: run }, el("kbd", {}, key), el("span", {}, text));
  const words = [finding.shape, finding.orientation, finding.margin].filter(Boolean).join(", ");
  const buttons = selected && editing
    ? [button("save", "Enter", "Save outline", act.save), button("cancel", "Esc", "Leave", act.cancel)]
    : [button("accept", "Y", "Accept", () => act.review(index, "accept")), button("edit", "E", "Edit", () => act.edit(index)), button("reject", "X", "Reject", () => act.review(index, "reject"))];
  return el("article", { class: `finding ${finding.review} ${selected ? "selected" : ""}`, "aria-label": `Finding ${index + 1}, ${REVIEWS[finding.review]}`, onclick: () => act.select(index) },
    el("div", { class: "what" }, el("span", { class: `dot ${tone(finding.score)}` }, String(index + 1)),
      el("span", {}, finding.score === null ? "no score" : `${percent(finding.score)} malignant`),
      el("span", { class: "review" }, REVIEWS[finding.review] + (finding.version > 1 ? ` by ${finding.author} · version ${finding.version}` : ""))),
    el("p", {}, [words, size(finding)].filter(Boolean).join(" · ")),
    el("div", { class: "do" }, ...buttons));
}

function size(finding) {
  const { max_diameter_mm: mm, max_diameter_px: px } = finding.measures;
  const length = mm ? `Ø ${mm.toFixed(1)} mm` : px ? `Ø ${Math.round(px)} px` : "";
  const area = finding.area_mm2 !== null ? `${finding.area_mm2.toFixed(1)} mm²` : finding.area_px !== null ? `${finding.area_px} px` : "";
  return [length, area].filter(Boolean).join(", ");
}

function downloads(exam) {
  const kinds = [["report.html", "HTML"], ["report.pdf", "PDF"], ["report.json", "JSON"], ["fhir", "FHIR"]];
  if (exam.images.some((image) => image.kind === "DICOM")) kinds.push(["dicom.zip", "DICOM"]);
  return el("p", { class: "downloads" }, ...kinds.map(([path, text]) =>
    el("a", { href: `/api/exams/${exam.id}/${path}`, download: path === "fhir" ? "fhir.json" : "" }, text)));
}
