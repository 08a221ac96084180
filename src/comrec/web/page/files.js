// Photographs as they come: dropped, pasted, picked; single, or a folder.

import { byId } from "./dom.js";

/** All files of what was dropped, folders included. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = [];
  const walk = async (entry) => {
    if (entry.isFile) {
      found.push(await new Promise((resolve, reject) => entry.file(resolve, reject)));
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (!some.length) return;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return found;
}

/** Call `take` with files, whichever way they come. Hidden files of folders are left out. */
export function listen(take) {
  const visible = (files) => take([...files].filter((file) => !file.name.startsWith(".")));
  for (const name of ["files", "folder"]) {
    const input = byId(name);
    for (const button of document.querySelectorAll(`[data-opens="${name}"]`)) {
      button.onclick = () => input.click();
    }
    input.onchange = () => {
      visible(input.files);
      input.value = "";
    };
  }
  let depth = 0;
  const over = (on) => {
    byId("drop").hidden = !on;
    if (!on) depth = 0;
  };
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    depth += 1;
    over(true);
  });
  addEventListener("dragleave", () => {
    depth -= 1;
    if (depth <= 0) over(false);
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    over(false);
    visible(await dropped(event.dataTransfer));
  });
  addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length) {
      event.preventDefault();
      visible(files);
    }
  });
}
