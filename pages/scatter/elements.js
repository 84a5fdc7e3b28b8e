// Elements of the page: made, and filled with a sample's image.

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function button(className, text, onClick) {
  const made = element("button", className, text);
  made.type = "button";
  if (onClick) made.addEventListener("click", onClick);
  return made;
}

// Shows a card's image, or that there is none; without a card it is still on its way.
export function picture(image, card) {
  const source = card && card.image ? card.image : "";
  if (image.getAttribute("src") !== source) {
    if (source) image.src = source;
    else image.removeAttribute("src");
  }
  image.alt = card ? card.id : "";
  image.classList.toggle("gone", Boolean(card && !card.image));
  image.title = card ? card.error || card.id : "";
}
