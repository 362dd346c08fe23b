/* On a phone the rows of a list become cards, so each cell carries the name of its column. */
export function labelCards(root) {
  const table = root.querySelector("#result_list");
  if (!table) return;
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.name);
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, column) => {
      if (names[column]) cell.dataset.label = names[column];
    });
  }
}
