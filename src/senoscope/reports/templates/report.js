(() => {
  "use strict";
  const root = document.documentElement;
  const button = (id) => document.getElementById(id);
  const cases = [...document.querySelectorAll(".case")];
  let current = -1;

  function toggle(name, id, on) {
    root.classList.toggle(name, on);
    button(id).setAttribute("aria-pressed", String(id === "toggle-ai" ? !on : on));
  }
  const toggleAi = () => toggle("ai-off", "toggle-ai", !root.classList.contains("ai-off"));
  const toggleHeat = () => toggle("heat-on", "toggle-heat", !root.classList.contains("heat-on"));
  function toggleTheme() {
    const light = root.classList.contains("light") ||
      (!root.classList.contains("dark") && matchMedia("(prefers-color-scheme: light)").matches);
    root.classList.toggle("light", !light);
    root.classList.toggle("dark", light);
  }
  function go(step) {
    if (!cases.length) return;
    current = Math.min(Math.max(current + step, 0), cases.length - 1);
    cases[current].scrollIntoView({ block: "start" });
    cases[current].focus({ preventScroll: true });
  }
  for (const [index, item] of cases.entries()) item.addEventListener("focusin", () => { current = index; });
  addEventListener("hashchange", () => {
    const index = cases.findIndex((item) => "#" + item.id === location.hash);
    if (index >= 0) { current = index; cases[index].focus({ preventScroll: true }); }
  });

  const keys = { a: toggleAi, h: toggleHeat, j: () => go(1), k: () => go(-1), t: toggleTheme };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    const action = keys[event.key.toLowerCase()];
    if (action) { event.preventDefault(); action(); }
  });
  button("toggle-ai").addEventListener("click", toggleAi);
  button("toggle-heat").addEventListener("click", toggleHeat);
  button("toggle-theme").addEventListener("click", toggleTheme);
  button("next").addEventListener("click", () => go(1));
  button("previous").addEventListener("click", () => go(-1));

  const table = document.getElementById("summary");
  const heads = [...table.querySelectorAll("th")];
  function sort(head) {
    if (head.classList.contains("ai") && root.classList.contains("ai-off")) return; // the order would tell
    const column = heads.indexOf(head);
    const number = head.dataset.sort === "number";
    const falling = head.getAttribute("aria-sort") !== (number ? "descending" : "ascending") ? number : !number;
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const value = (row) => number ? Number(row.cells[column].dataset.value) : row.cells[column].textContent;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => number ? value(a) - value(b) : value(a).localeCompare(value(b), undefined, { numeric: true }));
    if (falling) rows.reverse();
    table.tBodies[0].append(...rows);
  }
  for (const head of heads) {
    if (!head.dataset.sort) continue;
    head.tabIndex = 0;
    head.title = "Sort";
    head.addEventListener("click", () => sort(head));
    head.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); sort(head); } });
  }
})();
