//! People that walk, take, put down and give, and what can be asked of them.

use super::story::{Asked, PEOPLE, PLACES, Question, THINGS};
use crate::rng::Stream;

/// Where somebody or something is, and the facts that say so.
#[derive(Clone)]
struct Known {
    place: usize,
    by: Vec<usize>,
}

/// A gift: who, what, to whom, and the fact that says so.
struct Gift {
    from: usize,
    thing: usize,
    to: usize,
    by: usize,
}

/// The state of the world after what was told.
#[derive(Default)]
pub(super) struct World {
    pub(super) told: Vec<String>,
    /// Of each person.
    where_people: [Option<Known>; PEOPLE.len()],
    /// Who has a thing, and the fact that says so.
    holder: [Option<(usize, usize)>; THINGS.len()],
    /// The places where each thing was known to be, one after the other.
    went: [Vec<Known>; THINGS.len()],
    /// Whether it lies at the last of them.
    lies: [bool; THINGS.len()],
    gifts: Vec<Gift>,
}

fn any<T: Copy>(rng: &mut Stream, of: &[T]) -> Option<T> {
    match of.len() {
        0 => None,
        count => Some(of[rng.below(count as u64) as usize]),
    }
}

impl World {
    pub(super) fn tell(rng: &mut Stream, question: Question, facts: usize) -> World {
        let mut world = World::default();
        while world.told.len() < facts {
            match (question, rng.below(10)) {
                (Question::Qa1, _) => world.walk(rng),
                // Nobody walks in stories of gifts but to leave things where they are.
                (Question::Qa5, 0..2) => world.walk(rng),
                (Question::Qa5, 2..5) => world.take(rng),
                (Question::Qa5, 5..9) => world.give(rng),
                (_, 0..5) => world.walk(rng),
                (_, 5..8) => world.take(rng),
                _ => world.put_down(rng),
            }
        }
        world
    }

    fn walk(&mut self, rng: &mut Stream) {
        let person = rng.below(PEOPLE.len() as u64) as usize;
        let place = rng.below(PLACES.len() as u64) as usize;
        if self.where_people[person]
            .as_ref()
            .is_some_and(|known| known.place == place)
        {
            return;
        }
        let by = self.told.len();
        self.told
            .push(format!("{} went to the {}.", PEOPLE[person], PLACES[place]));
        self.where_people[person] = Some(Known {
            place,
            by: vec![by],
        });
        for thing in 0..THINGS.len() {
            if let Some((holder, taken)) = self.holder[thing]
                && holder == person
            {
                self.arrives(
                    thing,
                    Known {
                        place,
                        by: vec![taken, by],
                    },
                );
            }
        }
    }

    /// A thing is at a place from now on, if it was not there before.
    fn arrives(&mut self, thing: usize, known: Known) {
        match self.went[thing].last_mut() {
            Some(last) if last.place == known.place => *last = known,
            _ => self.went[thing].push(known),
        }
    }

    /// Somebody takes what nobody has, and what is not known to be elsewhere.
    fn take(&mut self, rng: &mut Stream) {
        let person = rng.below(PEOPLE.len() as u64) as usize;
        let at = self.where_people[person].clone();
        let here = |thing: &usize| {
            let lies = self.lies[*thing]
                .then(|| self.went[*thing].last())
                .flatten();
            let fits = match (lies, &at) {
                (Some(lies), Some(at)) => lies.place == at.place,
                // Else it would say where they are, and that is no fact of the kinds that are asked for.
                (Some(_), None) => false,
                (None, _) => true,
            };
            self.holder[*thing].is_none() && fits
        };
        let free: Vec<usize> = (0..THINGS.len()).filter(here).collect();
        let Some(thing) = any(rng, &free) else {
            return;
        };
        let by = self.told.len();
        self.told
            .push(format!("{} took the {}.", PEOPLE[person], THINGS[thing]));
        self.holder[thing] = Some((person, by));
        self.lies[thing] = false;
        if let Some(at) = at {
            let by = [at.by, vec![by]].concat();
            self.arrives(
                thing,
                Known {
                    place: at.place,
                    by,
                },
            );
        }
    }

    /// Somebody puts down what they have, where they are known to be.
    fn put_down(&mut self, rng: &mut Stream) {
        let held = |thing: &usize| {
            let holder = self.holder[*thing];
            holder.is_some_and(|(person, _)| self.where_people[person].is_some())
        };
        let held: Vec<usize> = (0..THINGS.len()).filter(held).collect();
        let Some(thing) = any(rng, &held) else {
            return;
        };
        let Some((person, _)) = self.holder[thing].take() else {
            return;
        };
        let Some(at) = self.where_people[person].clone() else {
            return;
        };
        let by = self.told.len();
        self.told.push(format!(
            "{} put down the {}.",
            PEOPLE[person], THINGS[thing]
        ));
        self.lies[thing] = true;
        let by = [at.by, vec![by]].concat();
        self.arrives(
            thing,
            Known {
                place: at.place,
                by,
            },
        );
    }

    /// Somebody gives what they have to somebody who is not known to be elsewhere.
    fn give(&mut self, rng: &mut Stream) {
        let held: Vec<usize> = (0..THINGS.len())
            .filter(|t| self.holder[*t].is_some())
            .collect();
        let Some(thing) = any(rng, &held) else {
            return;
        };
        let Some((from, _)) = self.holder[thing] else {
            return;
        };
        let place = |person: usize| self.where_people[person].as_ref().map(|known| known.place);
        let near = |to: &usize| {
            let apart = place(from).zip(place(*to)).is_some_and(|(a, b)| a != b);
            *to != from && !apart
        };
        let near: Vec<usize> = (0..PEOPLE.len()).filter(near).collect();
        let Some(to) = any(rng, &near) else {
            return;
        };
        let by = self.told.len();
        self.told.push(format!(
            "{} gave the {} to {}.",
            PEOPLE[from], THINGS[thing], PEOPLE[to]
        ));
        self.holder[thing] = Some((to, by));
        self.gifts.push(Gift {
            from,
            thing,
            to,
            by,
        });
    }

    /// A question of the kind, if one can be asked.
    pub(super) fn ask(&self, rng: &mut Stream, question: Question) -> Option<Asked> {
        match question {
            Question::Qa1 => self.ask_person(rng),
            Question::Qa2 => self.ask_thing(rng),
            Question::Qa3 => self.ask_before(rng),
            Question::Qa4 => None,
            Question::Qa5 => self.ask_gift(rng),
        }
    }

    fn ask_person(&self, rng: &mut Stream) -> Option<Asked> {
        let known = |person: &usize| self.where_people[*person].is_some();
        let known: Vec<usize> = (0..PEOPLE.len()).filter(known).collect();
        let person = any(rng, &known)?;
        let Known { place, by } = self.where_people[person].clone()?;
        let name = PEOPLE[person];
        Some(Asked {
            question: format!("Where is {name}?"),
            beginning: format!("{name} is in the"),
            answer: PLACES[place],
            deciding: by,
        })
    }

    fn ask_thing(&self, rng: &mut Stream) -> Option<Asked> {
        let known: Vec<usize> = (0..THINGS.len())
            .filter(|t| !self.went[*t].is_empty())
            .collect();
        let thing = any(rng, &known)?;
        let Known { place, by } = self.went[thing].last()?.clone();
        let name = THINGS[thing];
        Some(Asked {
            question: format!("Where is the {name}?"),
            beginning: format!("The {name} is in the"),
            answer: PLACES[place],
            deciding: by,
        })
    }

    /// Before the last time that it came to the place.
    fn ask_before(&self, rng: &mut Stream) -> Option<Asked> {
        let known: Vec<usize> = (0..THINGS.len())
            .filter(|t| self.went[*t].len() > 1)
            .collect();
        let thing = any(rng, &known)?;
        let went = &self.went[thing];
        let mut steps: Vec<usize> = (1..went.len()).collect();
        steps.retain(|&step| {
            !went[step + 1..]
                .iter()
                .any(|later| later.place == went[step].place)
        });
        let step = any(rng, &steps)?;
        let (before, then) = (&went[step - 1], &went[step]);
        let (name, place) = (THINGS[thing], PLACES[then.place]);
        Some(Asked {
            question: format!("Where was the {name} before the {place}?"),
            beginning: format!("Before the {place} the {name} was in the"),
            answer: PLACES[before.place],
            deciding: [before.by.as_slice(), &then.by].concat(),
        })
    }

    /// By the last gift to which the question fits.
    fn ask_gift(&self, rng: &mut Stream) -> Option<Asked> {
        let numbers: Vec<usize> = (0..self.gifts.len()).collect();
        let Gift {
            from, thing, to, ..
        } = self.gifts[any(rng, &numbers)?];
        let (giver, gift, taker) = (PEOPLE[from], THINGS[thing], PEOPLE[to]);
        let last = |fits: &dyn Fn(&&Gift) -> bool| self.gifts.iter().rev().find(fits);
        Some(match rng.below(3) {
            0 => {
                let last = last(&|g: &&Gift| g.from == from && g.to == to)?;
                Asked {
                    question: format!("What did {giver} give to {taker}?"),
                    beginning: format!("{giver} gave {taker} the"),
                    answer: THINGS[last.thing],
                    deciding: vec![last.by],
                }
            }
            1 => {
                let last = last(&|g: &&Gift| g.thing == thing && g.to == to)?;
                Asked {
                    question: format!("Who gave the {gift} to {taker}?"),
                    beginning: format!("{taker} got the {gift} from"),
                    answer: PEOPLE[last.from],
                    deciding: vec![last.by],
                }
            }
            _ => {
                let last = last(&|g: &&Gift| g.thing == thing && g.from == from)?;
                Asked {
                    question: format!("Who did {giver} give the {gift} to?"),
                    beginning: format!("{giver} gave the {gift} to"),
                    answer: PEOPLE[last.to],
                    deciding: vec![last.by],
                }
            }
        })
    }
}
