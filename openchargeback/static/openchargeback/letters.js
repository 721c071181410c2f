// Chromium draws the text of a field anew only where its font changes, not once the font for its letters has arrived.
(() => {
  "use strict";
  const beyond = /[^\u0000-\u00ff]/;
  let weight = 400;
  const draw = () => {
    // A weight that was not there yet; to the eye, all of these are the same.
    weight += 1;
    document.querySelectorAll("input, textarea").forEach((field) => {
      if (beyond.test(field.value)) field.style.fontWeight = weight;
    });
  };
  document.fonts.addEventListener("loadingdone", draw);
  document.fonts.ready.then(draw);
})();
