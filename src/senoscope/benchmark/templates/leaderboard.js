(() => {
  "use strict";
  const board = document.getElementById("board");
  const heads = [...board.tHead.rows[0].cells];
  const bodies = [...board.tBodies];
  const status = document.getElementById("shown");

  // Sorting: rows without the figure last, before them those tested on fewer folds, whichever way it is sorted.
  function sort(head) {
    const column = heads.indexOf(head);
    const number = head.dataset.sort === "number";
    const first = head.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const way = head.getAttribute("aria-sort") === first ? other : first;
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way);
    const sign = way === "ascending" ? 1 : -1;
    const cell = (body) => body.rows[0].cells[column].dataset.value ?? "";
    bodies.sort((a, b) => {
      const [x, y] = [cell(a), cell(b)];
      if ((x === "") !== (y === "")) return x === "" ? 1 : -1;
      if ("figure" in head.dataset && a.dataset.partial !== b.dataset.partial) return a.dataset.partial ? 1 : -1;
      return sign * (number ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true }));
    });
    board.append(...bodies);
  }
  for (const head of heads) head.querySelector("button")?.addEventListener("click", () => sort(head));

  // Filters.
  const filters = [...document.querySelectorAll("[data-filter]")];
  const words = (body) => `${body.rows[0].textContent} ${body.dataset.about}`.toLowerCase();
  function filter() {
    let count = 0;
    for (const body of bodies) {
      const fits = filters.every((field) => {
        const wanted = field.value.trim();
        if (!wanted) return true;
        if (field.dataset.filter === "params") return Number(body.dataset.params) <= 1e6 * Number(wanted);
        if (field.dataset.filter === "text") return words(body).includes(wanted.toLowerCase());
        return body.dataset[field.dataset.filter] === wanted;
      });
      body.hidden = !fits;
      count += fits;
    }
    status.textContent = `${count} of ${bodies.length} rows`;
  }
  for (const field of filters) field.addEventListener("input", filter);

  // Details.
  for (const body of bodies) {
    const button = body.querySelector("button[aria-expanded]");
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      button.setAttribute("aria-expanded", String(open));
      body.rows[1].hidden = !open;
    });
  }

  // Columns: a phone starts with the figures that matter first.
  const narrow = matchMedia("(max-width: 700px)").matches;
  function show(column, on) {
    for (const row of [board.tHead.rows[0], ...bodies.map((body) => body.rows[0])]) row.cells[column].hidden = !on;
  }
  for (const box of document.querySelectorAll("[data-column]")) {
    if (narrow && "minor" in box.dataset) box.checked = false;
    const apply = () => show(Number(box.dataset.column), box.checked);
    box.addEventListener("change", apply);
    apply();
  }
  document.documentElement.classList.add("live");
  filter();
})();
