// The canvas as Streamlit mounts it: one or several spaces as points, linked, which may be frames of a film. What is hovered
// in one, picked or isolated stands out in the others at once; what the page must know or tell goes through one message at a
// time.

import { unpack } from "./protocol.js";
import { View } from "./view.js";

const views = new WeakMap();

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  let root = parentElement.querySelector(".spaces");
  let view = views.get(root);
  if (!view) {
    root = untouched(root);
    view = new View(root);
    views.set(root, view);
  }
  view.send = (message) => setTriggerValue("message", message);
  view.update(unpack(data));
  return () => {
    view.close();
    views.delete(root);
  };
}

// The element as the page was given it. Streamlit may take a component down and mount it again in the same elements, where what the
// view before added, listeners too, would stand twice.
function untouched(root) {
  const skeleton = root.skeleton ?? root.innerHTML;
  if (root.skeleton !== undefined) {
    const fresh = root.cloneNode(false);
    root.replaceWith(fresh);
    root = fresh;
    root.innerHTML = skeleton;
  }
  root.skeleton = skeleton;
  return root;
}
