/* What each page gets. Without any of it the pages still work; each module makes one thing handier. */
import { labelCards } from "./cards.js";
import { offerCopies } from "./copy.js";
import { bindKeys } from "./keys.js";
import { closeMenus } from "./menus.js";
import { makeTabs } from "./tabs.js";
import { localTimes } from "./times.js";

for (const start of [localTimes, labelCards, makeTabs, offerCopies, closeMenus, bindKeys]) start(document);
