/* `<time datetime="2026-11-22T14:03:09Z">` in the reader's zone and language, with UTC on hover. */
const SHORT = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" };

/* The reader's own way of writing dates where it is in the page's language: en-GB on a page in English. */
function language() {
  const page = document.documentElement.lang;
  return navigator.languages.find((name) => name.split("-")[0] === page.split("-")[0]) || page;
}

export function localTimes(root) {
  const format = new Intl.DateTimeFormat(language(), SHORT);
  for (const time of root.querySelectorAll("time[datetime*=T]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.textContent = format.format(moment);
    time.title = `${moment.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  }
}
