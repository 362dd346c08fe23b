/* `/` and Ctrl-K (or Cmd-K) go to the search box. */
function writes(element) {
  return element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName);
}

export function bindKeys(root) {
  const box = root.getElementById("find");
  if (!box) return;
  root.addEventListener("keydown", (event) => {
    const slash = event.key === "/" && !writes(event.target) && !event.ctrlKey && !event.metaKey && !event.altKey;
    const chord = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
    if (!slash && !chord) return;
    event.preventDefault();
    box.focus();
    box.select();
  });
}
