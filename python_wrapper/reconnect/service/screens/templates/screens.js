"use strict";
// What a page can do beyond its HTML: follow a run, lead to its verdict, copy the words for the user.
const live = document.getElementById("live");
if (live) {
  const source = new EventSource(live.dataset.events);
  const add = (event) => {
    const row = document.createElement("li");
    const [said, beside] = JSON.parse(event.data).said.map((text) => {
      const one = document.createElement("bdi");
      one.textContent = text;
      return one;
    });
    beside.className = "muted";
    row.append(said, " ", beside);
    live.append(row);
  };
  for (const kind of ["step", "seen"]) source.addEventListener(kind, add);
  const again = () => {
    location.replace("#verdict");
    location.reload();
  };
  source.addEventListener("ended", () => {
    source.close();
    again();
  });
  source.addEventListener("begun", () => {
    const state = document.getElementById("state");
    state.textContent = state.dataset.running;
  });
  // Whatever keeps the events away: the page itself says how the run stands.
  source.addEventListener("error", () => {
    source.close();
    setTimeout(again, 3000);
  });
}
for (const button of navigator.clipboard ? document.querySelectorAll("button.copy") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("bdi").textContent);
    button.firstChild.textContent = button.dataset.copied;
  });
}
if (location.hash === "#verdict") document.getElementById("verdict")?.focus();
