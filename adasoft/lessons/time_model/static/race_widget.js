// The race as a widget: bets go to Python, which keeps them.
import {mountRace} from './race.js';

export default {
  render({model, el}) {
    const place = document.createElement('div');
    el.append(place);
    const heard = (race, bet) => { model.set('bets', {...model.get('bets'), [race]: bet}); model.save_changes(); };
    const race = mountRace(place, model.get('data'), model.get('bets'), heard);
    return () => race.destroy();
  },
};
