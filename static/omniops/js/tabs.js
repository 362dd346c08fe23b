/* The sections of a form as tabs. Without this module they stand below one another, and the tabs are links to them. */
function select(tabs, chosen, focus = false) {
  for (const tab of tabs) {
    const on = tab === chosen;
    tab.setAttribute("aria-selected", on);
    tab.tabIndex = on ? 0 : -1;
    panel(tab).hidden = !on;
  }
  if (focus) chosen.focus();
}

function panel(tab) {
  return document.getElementById(tab.hash.slice(1));
}

function dress(tab) {
  const section = panel(tab);
  tab.role = "tab";
  tab.id = `${section.id}-tab`;
  tab.setAttribute("aria-controls", section.id);
  section.role = "tabpanel";
  section.setAttribute("aria-labelledby", tab.id);
  tab.classList.toggle("wrong", Boolean(section.querySelector(".errorlist")));
}

function onKey(event, tabs) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const at = tabs.indexOf(document.activeElement);
  select(tabs, tabs[(at + step + tabs.length) % tabs.length], true);
}

export function makeTabs(root) {
  const list = root.querySelector(".tabs");
  if (!list) return;
  const tabs = [...list.querySelectorAll("a")];
  list.role = "tablist";
  list.parentElement.classList.add("tabbed");
  tabs.forEach(dress);
  list.addEventListener("keydown", (event) => onKey(event, tabs));
  list.addEventListener("click", (event) => {
    const tab = event.target.closest("a");
    if (!tab) return;
    event.preventDefault();
    history.replaceState(null, "", tab.hash);
    select(tabs, tab);
  });
  const wrong = tabs.find((tab) => tab.classList.contains("wrong"));
  const named = tabs.find((tab) => tab.hash === location.hash);
  select(tabs, wrong || named || tabs[0]);
  // The browser has gone down to the section that the address names: its tab is at the top now.
  if (named) scrollTo(0, 0);
}
