/* Progress of jobs that refreshes itself: `<div data-job="address of its JSON">`, until the job has ended. */
const FIRST = 1000;
const SLOWEST = 10000;

function show(box, now) {
  for (const part of box.querySelectorAll("[data-part]")) {
    const text = now[part.dataset.part] ?? "";
    if (part.textContent !== text) part.textContent = text;
  }
  box.querySelector(".state").className = `state state-${now.state}`;
  const bar = box.querySelector("progress");
  bar.hidden = now.percent === null && now.state !== "running";
  if (now.percent === null) bar.removeAttribute("value");
  else bar.value = now.percent;
}

/* What the job left stands on its own page, which is asked for anew. */
function end(box) {
  box.dataset.ended = "yes";
  if (box.dataset.reload) window.location.reload();
  else box.dispatchEvent(new CustomEvent("job-ended", { bubbles: true }));
}

async function ask(box) {
  const answer = await fetch(box.dataset.job, { headers: { Accept: "application/json" } });
  // A login that has ended is answered by the page of the login.
  if (answer.status === 403 || answer.status === 404 || answer.redirected) return "stop";
  if (!answer.ok) throw new Error(answer.statusText);
  const now = await answer.json();
  show(box, now);
  return now.ended ? "ended" : "on";
}

async function follow(box, pause) {
  let next = Math.min(pause * 1.1, SLOWEST);
  if (!document.hidden) {
    try {
      const found = await ask(box);
      if (found === "ended") return end(box);
      if (found === "stop") return undefined;
    } catch {
      next = Math.min(pause * 2, SLOWEST);
    }
  }
  return setTimeout(() => follow(box, next), next);
}

for (const box of document.querySelectorAll("[data-job][data-ended=no]")) {
  setTimeout(() => follow(box, FIRST), FIRST);
}
