// Measuring: a line between two points, in mm where the file says how large a pixel is, else in pixels.
import { svg } from "./dom.js";

export function distance([x0, y0], [x1, y1], spacing) {
  const [row, column] = spacing ?? [1, 1];
  const length = Math.hypot((x1 - x0) * column, (y1 - y0) * row);
  return spacing ? `${length.toFixed(1)} mm` : `${Math.round(length)} px`;
}

export class Ruler {
  constructor(stage, say) {
    this.stage = stage;
    this.say = say;
    this.active = false;
    this.spacing = null;
    this.reset();
    stage.painters.add(() => this.draw());
    stage.overlay.addEventListener("pointerdown", (event) => this.begin(event));
  }

  reset() {
    this.from = this.to = this.cursor = null;
    this.fixed = false;
  }

  toggle(on) {
    this.active = on && this.stage.size !== null;
    this.stage.element.classList.toggle("measuring", this.active);
    this.reset();
    if (this.active) {
      this.cursor = this.stage.centre();
      this.say("Drag from one point to another, or move the cross with the arrow keys and press Enter at both.");
    }
    this.stage.place();
    return this.active;
  }

  begin(event) {
    if (!this.active) return;
    event.preventDefault();
    const overlay = this.stage.overlay;
    overlay.setPointerCapture(event.pointerId);
    this.from = this.to = this.cursor = this.stage.toImage(event);
    const move = (moved) => { this.to = this.cursor = this.stage.toImage(moved); this.stage.place(); };
    const end = () => {
      overlay.removeEventListener("pointermove", move);
      overlay.removeEventListener("pointerup", end);
      this.fixed = true;
      this.tell();
    };
    overlay.addEventListener("pointermove", move);
    overlay.addEventListener("pointerup", end);
  }

  key(event) {
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (moves[event.key]) {
      const [dx, dy] = moves[event.key];
      this.cursor = this.stage.inside([this.cursor[0] + dx, this.cursor[1] + dy]);
      if (this.from && !this.fixed) this.to = this.cursor;
    } else if (event.key === "Enter") {
      if (this.from && !this.fixed) { this.to = this.cursor; this.fixed = true; } else { this.from = this.to = this.cursor; this.fixed = false; }
    } else return false;
    this.stage.place();
    this.tell();
    return true;
  }

  tell() { if (this.from) this.say(distance(this.from, this.to, this.spacing)); }

  draw() {
    if (!this.active) return;
    const flat = this.stage.flat;
    if (this.cursor) {
      const [x, y] = this.stage.toScreen(this.cursor);
      flat.append(svg("path", { class: "ruler-end", d: `M${x - 9} ${y}h18M${x} ${y - 9}v18` }));
    }
    if (!this.from) return;
    const [a, b] = [this.stage.toScreen(this.from), this.stage.toScreen(this.to)];
    const text = distance(this.from, this.to, this.spacing);
    const width = 8.2 * text.length + 12;
    flat.append(
      svg("line", { class: "ruler", x1: a[0], y1: a[1], x2: b[0], y2: b[1] }),
      svg("circle", { class: "ruler-end", cx: a[0], cy: a[1], r: 4 }),
      svg("g", { class: "plate", transform: `translate(${(a[0] + b[0]) / 2 + 8} ${(a[1] + b[1]) / 2 + 8})` },
        svg("rect", { width, height: 22, rx: 6 }), svg("text", { x: 6, y: 16 }, text)));
  }
}
