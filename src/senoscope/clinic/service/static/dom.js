// Building nodes from values: text is always text, never markup.
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "scope") node.setAttribute(name, value);
    else node[name] = value;
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

// A probability as a person reads it: never 0 % or 100 %.
export function percent(value) {
  if (value === null || value === undefined) return "not given";
  if (value < 0.01) return "< 1 %";
  if (value > 0.99) return "> 99 %";
  return `${Math.round(100 * value)} %`;
}

export const tone = (score) => (score === null ? "unscored" : score >= 0.5 ? "malignant" : "benign");
