/* A picture goes to this server as it is, and the answer comes onto the page. */

const at = (id) => document.getElementById(id);
const known = ["image/jpeg", "image/png", "image/webp"];

let model = null; // what GET /model says
let asked = null; // the picture that is asked about
let shown = []; // the addresses of pictures in memory, to be given back

/* A share as people read it, never as more certain than it is. */
function percent(share) {
  if (share > 0.995) return ">\u00a099\u00a0%";
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}\u00a0%`;
}

function show(id, visible = true) {
  at(id).hidden = !visible;
}

function made(tag, content = {}, ...children) {
  const element = Object.assign(document.createElement(tag), content);
  element.append(...children);
  return element;
}

function addressOf(blob) {
  shown.push(URL.createObjectURL(blob));
  return shown.at(-1);
}

/* The response to a picture. Throws the reasons that are to be shown. */
async function send(path, picture) {
  const type = known.includes(picture.type) ? picture.type : "application/x-image";
  let response;
  try {
    response = await fetch(path, { method: "POST", body: picture, headers: { "Content-Type": type } });
  } catch {
    throw { error: "The server did not answer", hint: "see whether it still runs, then try again", again: true };
  }
  if (response.ok) return response;
  const reason = await response.json().catch(() => ({ error: `The server answered ${response.status}` }));
  throw { ...reason, again: response.status === 503 };
}

function checkSize(picture) {
  const most = model?.limits.body_bytes;
  if (!most || picture.size <= most) return;
  const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  throw {
    error: `The picture has ${mb(picture.size)}`,
    allowed: `at most ${mb(most)}`,
    hint: "choose a smaller picture, or save it smaller first",
  };
}

async function ask(picture) {
  asked = picture;
  shown.splice(0).forEach((address) => URL.revokeObjectURL(address));
  document.body.classList.add("asked");
  at("pick").textContent = "Choose another";
  at("photo").src = addressOf(picture);
  at("photo").alt = "Your picture";
  at("heat").removeAttribute("src");
  at("look").setAttribute("aria-pressed", "false");
  for (const id of ["named", "wrong", "looked", "heat", "key", "unseen"]) show(id, false);
  for (const id of ["frame", "photo", "answer", "busy"]) show(id);
  at("answer").setAttribute("aria-busy", "true");
  at("spoken").textContent = "Looking at your picture";
  try {
    checkSize(picture);
    const answer = await (await send("invocations", picture)).json();
    if (asked === picture) tell(answer);
  } catch (reason) {
    if (asked === picture) explain(reason);
  }
}

function settled() {
  show("busy", false);
  at("answer").setAttribute("aria-busy", "false");
}

function tell(answer) {
  settled();
  const said = words(answer);
  at("breed").textContent = answer.breed;
  at("sure").classList.toggle("unsure", answer.unsure);
  at("sure").replaceChildren(made("strong", { textContent: `${said.verdict}. ` }), said.reason);
  at("photo").alt = `Your picture, named ${answer.breed}`;
  at("bars").replaceChildren(...answer.top_k.map(bar));
  at("cards").replaceChildren(...answer.look_alikes.map(card));
  show("likes", answer.look_alikes.length > 0);
  show("named");
  show("looked", Boolean(model?.explains));
  at("spoken").textContent = `${answer.breed}, ${percent(answer.probability)}. ${said.verdict}.`;
  requestAnimationFrame(() => {
    for (const fill of document.querySelectorAll(".fill")) fill.style.width = fill.dataset.width;
  });
}

function words(answer) {
  const verdict = answer.unsure ? "Unsure" : "Sure", checked = model?.calibration;
  if (!checked) return { verdict, reason: "How far this model can be trusted was not measured." };
  const often = `${percent(checked.precision)} of the time`;
  if (checked.threshold === null) return { verdict, reason: `No answers of this model are right ${often}.` };
  const from = percent(checked.threshold);
  const said = `From ${from} on, answers were right ${often} on the ${checked.pictures} pictures it was checked with`;
  return { verdict, reason: answer.unsure ? `${said}. This one is below, and may well be another breed.` : `${said}.` };
}

function bar({ breed, probability }) {
  const fill = made("div", { className: "fill" });
  fill.dataset.width = `${100 * probability}%`;
  const track = made("div", { className: "track", ariaHidden: "true" }, fill);
  const text = [breed, percent(probability)].map((textContent) => made("span", { textContent }));
  return made("li", {}, made("div", { className: "line" }, ...text), track);
}

function card({ breed, index, share }) {
  const name = made("span", { textContent: breed });
  const often = made("span", { className: "muted small", textContent: percent(share) });
  if (!model?.thumbnails) return made("li", {}, name, often);
  const picture = made("img", { src: `thumbnails/${index}`, alt: `A ${breed}`, width: 160, height: 160 });
  picture.addEventListener("error", () => picture.remove());
  return made("li", {}, picture, name, often);
}

function explain(reason) {
  settled();
  if (!(reason && reason.error)) reason = { error: "The answer could not be read", hint: "try again", again: true };
  at("problem").textContent = reason.error;
  for (const part of ["allowed", "hint"]) {
    at(part).textContent = reason[part] ?? "";
    at(part).parentElement.hidden = !reason[part];
  }
  show("again", Boolean(reason.again));
  show("wrong");
  at("spoken").textContent = ["Error", reason.error, reason.hint].filter(Boolean).join(". ");
}

async function look() {
  const button = at("look"), heat = at("heat"), picture = asked;
  const pressed = () => button.getAttribute("aria-pressed") === "true";
  button.setAttribute("aria-pressed", String(!pressed()));
  try {
    if (pressed() && !heat.hasAttribute("src")) {
      const seen = await (await send("explanations", picture)).blob();
      if (asked !== picture) return;
      heat.src = addressOf(seen);
      heat.alt = `What the model looked at for ${at("breed").textContent}: yellow where most, blue where least`;
    }
  } catch (reason) {
    if (asked !== picture) return;
    button.setAttribute("aria-pressed", "false");
    return explain(reason);
  }
  const unseen = at("photo").naturalWidth === 0;
  show("heat", pressed());
  show("key", pressed());
  show("photo", !pressed() && !unseen);
  show("unseen", !pressed() && unseen);
  at("spoken").textContent = pressed() ? "Showing what the model looked at" : "Showing your picture";
}

/* The first picture among what was dropped, pasted or picked. */
function take(files) {
  if (files?.length) ask(files[0]);
}

for (const [button, input] of [["pick", "file"], ["snap", "camera"]]) {
  at(button).addEventListener("click", () => at(input).click());
  at(input).addEventListener("change", () => {
    take(at(input).files);
    at(input).value = ""; // the same file may be chosen again
  });
}
at("look").addEventListener("click", look);
at("again").addEventListener("click", () => ask(asked));
at("photo").addEventListener("error", () => {
  show("photo", false);
  show("unseen");
});
addEventListener("paste", (event) => take(event.clipboardData?.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (event.dataTransfer?.files.length) return take(event.dataTransfer.files);
  show("answer");
  show("named", false);
  explain({ error: "What was dropped is no file", hint: "save the picture first, then drop its file" });
});

try {
  model = await (await fetch("model")).json();
  const count = model.breeds.length;
  at("about").textContent = `Give a picture, and read which of ${count} breeds it shows.`;
  at("breeds").querySelector("summary").textContent = `The ${count} breeds it knows`;
  at("breeds").querySelector("ul").append(...model.breeds.map((textContent) => made("li", { textContent })));
  show("breeds");
  at("model").textContent =
    `${model.model} answers, always with one of these breeds. Pictures go to this server alone, which keeps none.`;
} catch {
  at("model").textContent = "What this model is could not be read.";
}
