/* The names of a list's columns on its cells, for the cards of a phone; and heads of numbers above their numbers. */
export function labelCards(root) {
  const table = root.querySelector("#result_list");
  if (!table) return;
  const heads = [...table.tHead.rows[0].cells];
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => {
      if (heads[column]?.dataset.name) cell.dataset.label = heads[column].dataset.name;
      if (cell.querySelector(":scope > .number")) heads[column].classList.add("number");
    });
  }
}
