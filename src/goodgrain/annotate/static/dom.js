// Elements of the page, old and new.

export const ui = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));

// Strings inside become text nodes, whatever they hold.
export function make(name, className, ...inside) {
  const element = document.createElement(name);
  element.className = className;
  element.append(...inside);
  return element;
}

export function makeButton(text, key, press, className = "") {
  const element = make("button", className, make("span", "", text));
  element.type = "button";
  if (key) {
    element.append(make("kbd", "", key));
    element.setAttribute("aria-keyshortcuts", key);
  }
  element.addEventListener("click", press);
  return element;
}

// Only what changed, so that screen readers do not say it again.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function fill(meter, share) {
  const percent = Math.round(100 * Math.min(Math.max(share, 0), 1));
  meter.setAttribute("aria-valuenow", String(percent));
  meter.firstElementChild.style.width = `${percent}%`;
}

// For screen readers; emptied first, so that the same is said again.
export function say(sentence) {
  ui.said.textContent = "";
  setTimeout(() => write(ui.said, sentence), 50);
}
