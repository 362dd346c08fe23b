/* Menus (`<details class="menu">`) close on Escape, on a click elsewhere, and when another one opens. */
function closeAll(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
}

function escape() {
  const open = document.querySelector("details.menu[open]");
  closeAll();
  open?.querySelector("summary").focus();
  if (location.hash === "#sidebar") {
    location.hash = "#content-start";
    document.querySelector(".menu-open")?.focus();
  }
}

export function closeMenus(root) {
  root.addEventListener("click", (event) => closeAll(event.target.closest("details.menu")));
  root.addEventListener("keydown", (event) => event.key === "Escape" && escape());
}
