"use strict";

// Cells without a number come last, whichever way a column is sorted.
function sortBy(header) {
  const table = header.closest("table");
  const column = header.cellIndex;
  const number = header.classList.contains("number");
  const first = number && column > 0 ? "descending" : "ascending";
  const second = first === "ascending" ? "descending" : "ascending";
  const order = header.getAttribute("aria-sort") === first ? second : first;
  const sign = order === "ascending" ? 1 : -1;
  const key = (row) => (number ? row.cells[column].dataset.value : row.cells[column].textContent.trim());
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (!x || !y) return Number(!x) - Number(!y);
    return sign * (number ? Number(x) - Number(y) : x.localeCompare(y, "en"));
  };
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}

const controls = document.getElementById("controls");

function filter() {
  const words = controls.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const unchecked = (name) =>
    new Set([...controls.querySelectorAll(`input[name="${name}"]:not(:checked)`)].map((box) => box.value));
  const hidden = { method: unchecked("method"), modality: unchecked("modality"), kind: unchecked("kind") };
  let shown = 0;
  let all = 0;
  for (const row of document.querySelectorAll("tbody tr[data-kind]")) {
    const text = row.textContent.toLowerCase();
    row.hidden =
      Object.entries(hidden).some(([name, values]) => values.has(row.dataset[name])) ||
      !words.every((word) => text.includes(word));
    all += 1;
    shown += row.hidden ? 0 : 1;
  }
  document.getElementById("count").textContent = `${shown} of ${all} rows`;
}

for (const header of document.querySelectorAll("thead th"))
  header.querySelector("button")?.addEventListener("click", () => sortBy(header));
controls.addEventListener("input", filter);
controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("reset", () => setTimeout(filter));
filter();
