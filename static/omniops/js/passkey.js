/* Forms that a passkey fills in: data-passkey is "get" (prove a factor), "create" (add one) or "login" (come in by it). */
const { webauthnJSON } = globalThis;

async function options(form) {
  if (form.dataset.passkey !== "login") return JSON.parse(document.getElementById("passkey-options").textContent);
  const answer = await fetch(form.action, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.json();
}

function create(given, form) {
  const choice = given.publicKey.authenticatorSelection;
  const alone = form.elements.passwordless?.checked ?? false;
  choice.residentKey = alone ? "required" : "discouraged";
  choice.requireResidentKey = alone;
  if (alone) choice.userVerification = "required";
  return webauthnJSON.create(given);
}

async function fill(form) {
  const given = await options(form);
  const made = form.dataset.passkey === "create"
    ? await create(given.creation_options, form)
    : await webauthnJSON.get(given.request_options);
  form.elements.credential.value = JSON.stringify(made);
  form.submit();
}

function offer(form) {
  const told = form.querySelector("[data-passkey-error]");
  form.querySelector("[data-passkey-button]").hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    told.hidden = true;
    fill(form).catch(() => {
      told.textContent = told.dataset.wordFailed;
      told.hidden = false;
    });
  });
}

if (webauthnJSON?.supported()) document.querySelectorAll("[data-passkey]").forEach(offer);
