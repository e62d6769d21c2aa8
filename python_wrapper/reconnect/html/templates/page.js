"use strict";
// What a page can do beyond its HTML: search, copy, open what is linked to, print what is folded away.
const opened = (node) => {
  for (let one = node; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
};
for (const box of document.querySelectorAll(".findings")) {
  const field = box.querySelector("input[type=search]");
  if (!field) continue;
  const rows = [...box.querySelectorAll(".list > li")].map((row) => [row, row.textContent.toLowerCase()]);
  const hits = box.querySelector(".hits");
  const told = () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [row, text] of rows) row.hidden = !wanted.every((word) => text.includes(word));
    const seen = rows.filter(([row]) => row.offsetParent !== null).length;
    hits.textContent = `${seen} of ${rows.length}`;
  };
  field.parentElement.hidden = false;
  field.addEventListener("input", told);
  box.addEventListener("change", told);
}
for (const line of document.querySelectorAll(".command")) {
  const button = line.querySelector("button");
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(line.querySelector("code").textContent);
    button.firstChild.textContent = "Copied";
  });
}
const follow = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) { opened(target); target.scrollIntoView(); }
};
addEventListener("hashchange", follow);
follow();
let folded = [];
addEventListener("beforeprint", () => {
  // Evidence and the servers of a group are printed where somebody opened them.
  const kept = (one) => one.querySelector(":scope > pre") || one.parentElement.matches(".server");
  folded = [...document.querySelectorAll("details:not([open])")].filter((one) => !kept(one));
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
