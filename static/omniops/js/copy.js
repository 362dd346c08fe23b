/* A button beside each `<code class="id">`; says that it copied, to the eye and to a screen reader. */
const SHOWN_FOR = 1500;

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  svg.firstChild.setAttribute("href", `#icon-${name}`);
  return svg;
}

function button(text, words) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "copy";
  made.title = words.copy;
  made.setAttribute("aria-label", `${words.copy} ${text}`);
  made.append(icon("copy"));
  made.addEventListener("click", () => copy(made, text, words));
  return made;
}

async function copy(made, text, words) {
  await navigator.clipboard.writeText(text);
  made.classList.add("done");
  made.replaceChildren(icon("check"));
  document.getElementById("announcer").textContent = words.copied;
  setTimeout(() => {
    made.classList.remove("done");
    made.replaceChildren(icon("copy"));
    document.getElementById("announcer").textContent = "";
  }, SHOWN_FOR);
}

export function offerCopies(root) {
  // A page served without TLS from elsewhere than this machine has no clipboard.
  if (!navigator.clipboard) return;
  const words = root.body.dataset;
  for (const code of root.querySelectorAll("code.id")) {
    const text = code.dataset.copy || code.textContent.trim();
    code.title ||= text;
    (code.closest("a") || code).after(button(text, { copy: words.wordCopy, copied: words.wordCopied }));
  }
}
