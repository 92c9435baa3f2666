// The image, zoomed and panned by OpenSeadragon, and what is drawn over it, in the image's pixels.
import { byId, percent, svg, tone } from "./dom.js";

const START = 0.5; // contours have pixel centres at whole numbers, SVG has pixel corners there

export class Stage {
  constructor() {
    this.element = byId("stage");
    this.overlay = byId("overlay");
    this.viewer = OpenSeadragon({
      element: byId("osd"), drawer: "canvas", showNavigationControl: false, animationTime: 0.25, tabIndex: -1,
      maxZoomPixelRatio: 16, minZoomImageRatio: 0.7, visibilityRatio: 0.3, immediateRender: true,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, gestureSettingsTouch: { clickToZoom: false },
    });
    this.viewer.addHandler("canvas-key", (event) => { event.preventDefaultAction = true; });
    for (const name of ["update-viewport", "open", "resize"]) this.viewer.addHandler(name, () => this.place());
    this.scaled = svg("g");
    this.frames = [0, 1].map(() => svg("image", { class: "frame", preserveAspectRatio: "none", visibility: "hidden" }));
    this.heat = svg("image", { class: "ai", preserveAspectRatio: "none", visibility: "hidden" });
    this.outlines = svg("g", { class: "ai" });
    this.drafts = svg("g");
    this.scaled.append(...this.frames, this.heat, this.outlines, this.drafts);
    this.flat = svg("g"); // screen pixels: tags, handles, rulers
    this.overlay.append(this.scaled, this.flat);
    this.painters = new Set(); // functions that draw on `flat` at every movement
    this.size = null;
    this.findings = [];
    this.selected = 0;
    this.ahead = new Map(); // pictures of frames to come
  }

  // `key` names what keeps its zoom while its picture changes: a loop. A still's is null.
  async show(image, key = null) {
    if (this.source !== image.picture) {
      const same = key !== null && key === this.key && this.size && image.picture;
      this.key = key;
      this.source = image.picture;
      if (same) await this.swap(image);
      else {
        for (const frame of this.frames) frame.setAttribute("visibility", "hidden");
        this.viewer.close();
        this.size = null;
        this.element.classList.toggle("has-image", Boolean(image.picture));
        if (image.picture) await this.open(image.picture);
      }
    }
    if (this.source !== image.picture) return; // another was opened meanwhile
    this.size = image.picture ? image.size : null;
    if (image.heatmap && this.size) {
      this.heat.setAttribute("href", image.heatmap);
      this.heat.setAttribute("width", this.size[0]);
      this.heat.setAttribute("height", this.size[1]);
    } else this.heat.removeAttribute("href");
    this.draw(image.findings ?? []);
  }

  // Lay a frame's picture over the first one's: loaded into the hidden of two layers, then shown, so nothing flickers.
  async swap(image) {
    const [front, back] = this.frames;
    await this.fetch(image.picture);
    if (this.source !== image.picture) return;
    await new Promise((done) => {
      back.onload = back.onerror = done;
      back.setAttribute("width", image.size[0]);
      back.setAttribute("height", image.size[1]);
      back.setAttribute("href", image.picture);
    });
    if (this.source !== image.picture) return;
    back.setAttribute("visibility", "inherit");
    front.setAttribute("visibility", "hidden");
    this.frames = [back, front];
  }

  fetch(url) {
    if (!this.ahead.has(url)) {
      if (this.ahead.size >= 24) this.ahead.delete(this.ahead.keys().next().value);
      const picture = new Image();
      picture.src = url;
      this.ahead.set(url, picture.decode().catch(() => this.ahead.delete(url)));
    }
    return this.ahead.get(url);
  }

  open(url) {
    return new Promise((done) => {
      this.viewer.addOnceHandler("open", done);
      this.viewer.addOnceHandler("open-failed", done);
      this.viewer.open({ type: "image", url });
    });
  }

  draw(findings) {
    this.findings = findings;
    this.outlines.replaceChildren();
    findings.forEach((finding, index) => {
      const path = `M${finding.contour.map(([x, y]) => `${x + START} ${y + START}`).join("L")}Z`;
      const state = `${tone(finding.score)} ${finding.review} ${index === this.selected ? "selected" : ""}`;
      const [x, y, width, height] = finding.box;
      this.outlines.append(
        svg("rect", { class: "box", x, y, width, height }),
        svg("path", { class: "halo", d: path }), svg("path", { class: `line ${state}`, d: path }),
      );
    });
    this.place();
  }

  select(index) {
    this.selected = index;
    this.draw(this.findings);
  }

  place() {
    this.flat.replaceChildren();
    const item = this.viewer.world.getItemAt(0);
    this.overlay.toggleAttribute("data-ready", Boolean(item && this.size));
    this.scaled.setAttribute("visibility", item && this.size ? "visible" : "hidden");
    if (!item || !this.size) return;
    const start = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
    const end = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(...this.size));
    this.origin = start;
    this.scale = (end.x - start.x) / this.size[0];
    this.scaled.setAttribute("transform", `translate(${start.x} ${start.y}) scale(${this.scale})`);
    this.tags();
    for (const paint of this.painters) paint();
  }

  tags() {
    this.findings.forEach((finding, index) => {
      if (finding.review === "rejected") return;
      const top = finding.contour.reduce((best, point) => (point[1] < best[1] ? point : best));
      const at = this.toScreen(top);
      const number = this.findings.length > 1 ? `${index + 1} · ` : "";
      const text = number + (finding.score === null ? "no score" : percent(finding.score));
      const width = 8.2 * text.length + 12;
      const y = Math.max(at[1] - 30, 4);
      this.flat.append(svg("g", { class: "plate ai", transform: `translate(${at[0] - width / 2} ${y})` },
        svg("rect", { width, height: 22, rx: 6 }),
        svg("text", { x: width / 2, y: 16, "text-anchor": "middle" }, text)));
    });
  }

  // Image pixels (centres at whole numbers) to the stage's pixels, and back.
  toScreen([x, y]) {
    return [this.origin.x + (x + START) * this.scale, this.origin.y + (y + START) * this.scale];
  }

  toImage(event) {
    const box = this.element.getBoundingClientRect();
    const x = (event.clientX - box.left - this.origin.x) / this.scale - START;
    const y = (event.clientY - box.top - this.origin.y) / this.scale - START;
    return this.inside([x, y]);
  }

  inside([x, y]) {
    const clamp = (value, size) => Math.min(Math.max(value, -START), size - START);
    return [clamp(x, this.size[0]), clamp(y, this.size[1])];
  }

  centre() {
    const box = this.element.getBoundingClientRect();
    return this.toImage({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 });
  }

  zoom(factor) { this.viewer.viewport.zoomBy(factor).applyConstraints(); }
  fit() { this.viewer.viewport.goHome(); }
  pan(x, y) {
    const by = this.viewer.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(x, y));
    this.viewer.viewport.panBy(by).applyConstraints();
  }

  // Window and level in 0..1 of the displayed range: (value - level) / width + 1/2.
  setWindow(width, level) {
    const canvas = this.viewer.drawer?.canvas;
    for (const part of byId("window").querySelectorAll("feComponentTransfer > *")) {
      part.setAttribute("slope", 1 / width);
      part.setAttribute("intercept", 0.5 - level / width);
    }
    const filter = width === 1 && level === 0.5 ? "" : "url(#window)";
    if (canvas) canvas.style.filter = filter;
    for (const frame of this.frames) frame.style.filter = filter;
  }

  setOpacity(value) { for (const layer of [this.outlines, this.heat]) layer.style.opacity = value; }
  showHeat(on) { this.heat.setAttribute("visibility", on ? "inherit" : "hidden"); }
}
