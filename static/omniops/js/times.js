/* `<time datetime="2026-11-22T14:03:09Z">` in the reader's zone and language, with UTC on hover. */
const SHORT = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" };

export function localTimes(root) {
  const format = new Intl.DateTimeFormat(document.documentElement.lang || undefined, SHORT);
  for (const time of root.querySelectorAll("time[datetime*=T]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.textContent = format.format(moment);
    time.title = `${moment.toISOString().slice(0, 19).replace("T", " ")} UTC`;
  }
}
