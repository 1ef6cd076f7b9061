// Patches the page in place: the server sends whole HTML, the browser keeps its nodes.
// So nothing flickers, marked text stays marked, and a row is its call wherever it moves.

const HOLD_MS = 4000; // rows do not change places under a pointer that just moved
const STALE_AFTER_S = 5;

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("data-key") : null);

const alike = (old, fresh) => old.nodeName === fresh.nodeName && keyOf(old) === keyOf(fresh);

function patchAttributes(old, fresh) {
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
}

function patch(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.nodeValue = fresh.nodeValue;
    return;
  }
  patchAttributes(old, fresh);
  patchChildren(old, fresh);
}

function isHeld(node) {
  return node.hasAttribute("data-hold") && node.matches(":hover") && Date.now() - pointerMovedAt < HOLD_MS;
}

function wanted(old, fresh) {
  const children = [...fresh.childNodes];
  if (!isHeld(old)) return children;
  const places = new Map([...old.children].map((node, place) => [keyOf(node), place]));
  const place = (node) => places.get(keyOf(node)) ?? places.size;
  return children.filter(keyOf).sort((one, other) => place(one) - place(other));
}

function move(parent, node, before) {
  if (parent.moveBefore) parent.moveBefore(node, before);
  else parent.insertBefore(node, before);
}

function patchChildren(old, fresh) {
  const children = wanted(old, fresh);
  const kept = new Map([...old.children].filter(keyOf).map((node) => [keyOf(node), node]));
  const staying = new Set(children.map(keyOf));
  for (const [key, node] of kept) if (!staying.has(key)) node.remove();
  let at = old.firstChild;
  for (const child of children) {
    const key = keyOf(child);
    const found = key ? kept.get(key) : at && alike(at, child) ? at : null;
    if (!found) {
      old.insertBefore(child, at);
      continue;
    }
    patch(found, child);
    if (found === at) at = at.nextSibling;
    else move(old, found, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

let pointerMovedAt = 0;

const UNITS = [[7200, 3600, "h"], [120, 60, "min"], [0, 1, "s"]];

function ago(seconds) {
  const [, length, unit] = UNITS.find(([from]) => seconds >= from);
  return `${Math.floor(seconds / length)} ${unit}`;
}

// The age goes on when the server is gone: that is when it matters.
function grow(root) {
  const live = root.querySelector("[data-age]");
  if (!live) return;
  const age = Number(live.dataset.age) + (Date.now() - root.receivedAt) / 1000;
  const words = age < 2 ? "less than 2 s" : ago(age);
  const stale = age >= STALE_AFTER_S;
  const set = (node, text) => node && node.textContent !== text && (node.textContent = text);
  set(root.querySelector("[data-age-words]"), words);
  set(root.querySelector("[data-old-words]"), words);
  set(live, stale ? "⚠ stale" : "live");
  root.querySelector("[data-old]")?.toggleAttribute("hidden", !stale);
}

function start(root) {
  root.addEventListener("pointermove", () => (pointerMovedAt = Date.now()), { passive: true });
  root.addEventListener("click", (event) => {
    const picked = event.target.closest("[data-pick]");
    const marking = String(document.getSelection()) !== "";
    if (!picked || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    if (!marking || event.target.closest("a")) root.pick(picked.dataset.pick, picked.dataset.value);
  });
  root.timer = setInterval(() => grow(root), 1000);
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".lw");
  root.pick = setTriggerValue;
  root.receivedAt = Date.now();
  if (!root.timer) start(root);
  const fresh = document.createElement("template");
  fresh.innerHTML = data.html;
  patchChildren(root, fresh.content);
  grow(root);
  return () => clearInterval(root.timer);
}
