// The canvas as Streamlit mounts it: one or two spaces as points, linked. What is hovered, picked or isolated in one stands
// out in the other at once; what the page must know or tell goes through one message at a time.

import { unpack } from "./protocol.js";
import { View } from "./view.js";

const views = new WeakMap();

export default function (component) {
  const { parentElement, data, setTriggerValue } = component;
  const root = parentElement.querySelector(".spaces");
  let view = views.get(root);
  if (!view) {
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
