// A loop: which frame is shown, stepping and playing, and the strip that marks frames with findings.
import * as api from "./api.js";
import { byId, svg, tone } from "./dom.js";

const USUAL_RATE = 15; // frames a second where the file states none
const AHEAD = 6; // pictures fetched before they are due
const KEPT = 400; // frames whose words are remembered

export class Cine {
  // `shown` is called with the image as its frame has it, and whether it is only passing by; `guarded` says what failed.
  constructor(stage, shown, guarded) {
    this.stage = stage;
    this.shown = shown;
    this.base = null;
    this.timer = 0;
    this.wanted = 0;
    this.told = new Map();
    byId("frame").addEventListener("input", guarded(() => this.go(Number(byId("frame").value))));
    byId("play").addEventListener("click", guarded(() => this.toggle()));
    byId("key-frame").addEventListener("click", guarded(() => this.key()));
    byId("strip").addEventListener("click", guarded((event) => this.go(this.at(event))));
  }

  get active() { return this.base !== null; }
  get playing() { return this.timer !== 0; }
  get count() { return this.base.cine.frames; }

  // Take an image of an exam: a loop, or (no loop any more) a still. Its frame comes with `image.frame`.
  open(exam, image) {
    const key = `${exam.id}/${image.number}`;
    if (key !== this.name) this.pause();
    this.name = key;
    this.told.clear();
    this.base = image.cine ? image : null;
    this.exam = exam.id;
    byId("cine").hidden = !this.active;
    if (!this.active) return;
    byId("frame").max = this.count;
    byId("key-frame").disabled = image.cine.key_frame === null;
    this.mark(image.frame);
  }

  close() {
    this.pause();
    this.base = this.name = null;
    byId("cine").hidden = true;
  }

  // The image as one of its frames has it.
  async image(frame) {
    if (!this.told.has(frame)) {
      if (this.told.size >= KEPT) this.told.delete(this.told.keys().next().value);
      const told = frame === this.base.frame ? Promise.resolve(this.base) : api.getFrame(this.exam, this.base.number, frame);
      told.catch(() => this.told.delete(frame));
      this.told.set(frame, told);
    }
    return { ...this.base, ...(await this.told.get(frame)) };
  }

  async go(frame, passing = false) {
    const here = this.base;
    const wanted = Math.min(Math.max(frame, 1), this.count);
    if (!passing) this.pause();
    this.wanted = wanted;
    this.mark(wanted);
    // While it plays, only frames with findings have more to tell than their picture.
    const marked = !passing || here.cine.marks.some((mark) => mark.frame === wanted);
    const image = marked ? await this.image(wanted) : { ...here, frame: wanted, findings: [], heatmap: null, picture: this.address(wanted) };
    if (this.base === here && this.wanted === wanted) await this.shown(image, passing);
  }

  address(frame) { return `/api/exams/${this.exam}/images/${this.base.number}/frames/${frame}/picture.png`; }
  step(by) { return this.go(this.frame + by); }
  key() { if (this.base.cine.key_frame !== null) return this.go(this.base.cine.key_frame); }

  // The next (or previous) frame with a finding, round the end.
  jump(by) {
    const marks = this.base.cine.marks.map((mark) => mark.frame);
    if (!marks.length) return;
    const next = by > 0 ? marks.find((frame) => frame > this.frame) ?? marks[0] : marks.findLast((frame) => frame < this.frame) ?? marks.at(-1);
    return this.go(next);
  }

  toggle() {
    if (this.playing) return this.go(this.frame);
    return this.play();
  }

  play() {
    byId("play").setAttribute("aria-pressed", "true");
    byId("play").querySelector("span").textContent = "Pause";
    const pause = 1000 / (this.base.cine.rate ?? USUAL_RATE);
    let due = performance.now();
    const tick = async () => {
      const mine = this.timer;
      for (let ahead = 1; ahead <= AHEAD; ahead += 1) this.stage.fetch(this.address(((this.frame - 1 + ahead) % this.count) + 1));
      await this.go(this.frame % this.count + 1, true).catch(() => this.pause());
      if (this.timer !== mine) return; // paused, or another loop
      due = Math.max(due + pause, performance.now());
      this.timer = setTimeout(tick, due - performance.now());
    };
    this.timer = setTimeout(tick, 0);
  }

  pause() {
    clearTimeout(this.timer);
    this.timer = 0;
    byId("play").setAttribute("aria-pressed", "false");
    byId("play").querySelector("span").textContent = "Play";
  }

  at(event) {
    const box = byId("strip").getBoundingClientRect();
    return 1 + Math.round(((event.clientX - box.left) / box.width) * (this.count - 1));
  }

  mark(frame) {
    this.frame = frame;
    const { key_frame: key, marks } = this.base.cine;
    const place = (number) => (100 * (number - 1)) / Math.max(1, this.count - 1);
    const width = Math.max(100 / this.count, 0.5);
    const findings = this.marked(frame)?.findings ?? 0;
    byId("frame").value = frame;
    byId("frame").setAttribute("aria-valuetext", `Frame ${frame} of ${this.count}${findings ? `, ${findings} found` : ""}${frame === key ? ", key frame" : ""}`);
    byId("frame-told").textContent = `${frame} / ${this.count}`;
    byId("strip").replaceChildren(
      ...marks.map((mark) => svg("rect", { class: `ai mark ${tone(mark.score)} ${mark.rejected === mark.findings ? "rejected" : ""}`, x: `${place(mark.frame) - width / 2}%`, y: 5, width: `${width}%`, height: 12 })),
      svg("rect", { class: "now", x: `${place(frame)}%`, y: 0, width: 2, height: 22, transform: "translate(-1 0)" }));
    if (key !== null) byId("strip").append(svg("circle", { class: "ai key", cx: `${place(key)}%`, cy: 3, r: 3 }));
  }

  marked(frame) { return this.base.cine.marks.find((mark) => mark.frame === frame); }
}
