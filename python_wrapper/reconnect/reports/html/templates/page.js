"use strict";
// What a page can do beyond its HTML: search, copy, open what is linked to, print what is folded away, unfold the parts
// of a large page.
const opened = (node) => {
  for (let one = node; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
};
const searched = (box) => {
  const field = box.querySelector("input[type=search]");
  if (!field) return;
  const rows = [...box.querySelectorAll(".list > li")].map((row) => [row, row.textContent.toLowerCase()]);
  const hits = box.querySelector(".hits");
  const told = () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const [row, text] of rows) row.hidden = !wanted.every((word) => text.includes(word));
    const seen = rows.filter(([row]) => row.offsetParent !== null).length;
    hits.textContent = `${seen} ${hits.dataset.of} ${rows.length}`;
  };
  field.parentElement.hidden = false;
  field.addEventListener("input", told);
  box.addEventListener("change", told);
};
const copied = (line) => {
  const button = line.querySelector("button");
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(line.querySelector("code").textContent);
    button.firstChild.textContent = button.dataset.copied;
  });
};
const alive = (root) => {
  for (const box of root.querySelectorAll(".findings")) searched(box);
  for (const line of root.querySelectorAll(".command")) copied(line);
};
alive(document);
const packed = document.getElementById("packed");
let parts;
const unpacked = async () => {
  const bytes = Uint8Array.from(atob(packed.textContent.trim()), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const [said, ...numbers] = (await new Response(stream).text()).split("\0");
  const lines = said.split("\n");
  return numbers.map((one) => {
    let at = 0;
    return one.split(" ").map((step) => lines[(at += Number(step))]).join("\n");
  });
};
const unfold = async (box) => {
  parts ||= unpacked();
  const part = (await parts)[box.dataset.part - 1];
  delete box.dataset.part;
  box.innerHTML = part;
  alive(box);
};
for (const box of packed && window.DecompressionStream ? document.querySelectorAll("[data-part]") : []) {
  const folded = box.closest("details");
  if (folded.open) unfold(box);
  else folded.addEventListener("toggle", () => unfold(box), { once: true });
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
