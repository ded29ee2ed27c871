-- Schema version 6: a direct amount that came in another currency, as it came (R34).

ALTER TABLE transactions ADD COLUMN direct_original INTEGER;
ALTER TABLE transactions ADD COLUMN direct_currency TEXT;
