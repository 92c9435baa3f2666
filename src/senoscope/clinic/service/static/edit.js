// Editing a contour: drag its points, or choose and move them with keys.
import { svg } from "./dom.js";

const POINTS = 36;

export class Editor {
  constructor(stage, say) {
    this.stage = stage;
    this.say = say;
    this.points = null;
    this.paint = () => this.draw();
  }

  get active() { return this.points !== null; }

  start(contour) {
    const step = Math.max(1, contour.length / POINTS);
    this.points = [];
    for (let at = 0; at < contour.length; at += step) this.points.push([...contour[Math.floor(at)]]);
    this.chosen = 0;
    this.stage.painters.add(this.paint);
    this.stage.outlines.style.visibility = "hidden";
    this.stage.place();
    this.announce();
  }

  stop() {
    const points = this.points;
    this.points = null;
    this.stage.painters.delete(this.paint);
    this.stage.drafts.replaceChildren();
    this.stage.outlines.style.visibility = "";
    this.stage.place();
    return points?.map(([x, y]) => [Math.round(x * 100) / 100, Math.round(y * 100) / 100]);
  }

  draw() {
    const path = `M${this.points.map(([x, y]) => `${x + 0.5} ${y + 0.5}`).join("L")}Z`;
    this.stage.drafts.replaceChildren(svg("path", { class: "draft", d: path }));
    this.points.forEach((point, index) => {
      const [cx, cy] = this.stage.toScreen(point);
      const chosen = index === this.chosen;
      const grip = svg("circle", { class: "grip", cx, cy, r: 16, "data-point": index });
      grip.addEventListener("pointerdown", (event) => this.grab(event, index));
      this.stage.flat.append(
        svg("circle", { class: `handle ${chosen ? "selected" : ""}`, cx, cy, r: chosen ? 7 : 5 }), grip);
    });
  }

  grab(event, index) {
    event.preventDefault();
    event.stopPropagation();
    this.chosen = index;
    const target = this.stage.overlay;
    target.setPointerCapture(event.pointerId);
    const move = (moved) => { this.points[index] = this.stage.toImage(moved); this.stage.place(); };
    const end = () => {
      target.removeEventListener("pointermove", move);
      target.removeEventListener("pointerup", end);
      target.removeEventListener("pointercancel", end);
      this.announce();
    };
    target.addEventListener("pointermove", move);
    target.addEventListener("pointerup", end);
    target.addEventListener("pointercancel", end);
  }

  // Whether the key was for the editor.
  key(event) {
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const count = this.points.length;
    if (moves[event.key]) {
      const [dx, dy] = moves[event.key];
      const [x, y] = this.points[this.chosen];
      this.points[this.chosen] = this.stage.inside([x + dx, y + dy]);
    } else if (event.key === "]") this.chosen = (this.chosen + 1) % count;
    else if (event.key === "[") this.chosen = (this.chosen + count - 1) % count;
    else if (event.key === "Delete" || event.key === "Backspace") {
      if (count > 3) this.points.splice(this.chosen, 1);
      this.chosen %= this.points.length;
    } else if (event.key === "i" || event.key === "I") {
      const next = this.points[(this.chosen + 1) % count];
      const here = this.points[this.chosen];
      this.points.splice(this.chosen + 1, 0, [(here[0] + next[0]) / 2, (here[1] + next[1]) / 2]);
      this.chosen += 1;
    } else return false;
    this.stage.place();
    this.announce();
    return true;
  }

  announce() {
    const [x, y] = this.points[this.chosen];
    this.say(`Point ${this.chosen + 1} of ${this.points.length} at ${Math.round(x)}, ${Math.round(y)}. Enter saves, Escape leaves.`);
  }
}
